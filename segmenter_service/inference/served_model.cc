#include "segmenter_service/inference/served_model.h"

#include <absl/strings/str_cat.h>

#include <fstream>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "hash/sha256.h"
#include "serving/file_access.h"

namespace segmenter {
namespace {

constexpr std::size_t kMaxSidecarBytes = 64 << 10;

// The file's text; empty if there is no such file.
absl::StatusOr<std::string> ReadSidecar(const std::string& path, const std::string& root) {
  if (!root.empty()) {
    const absl::StatusOr<serving::FileBelow> file = serving::FileBelow::Open(root, path);
    if (absl::IsNotFound(file.status())) return std::string();
    absl::StatusOr<std::string> text =
        file.ok() ? file->Read(kMaxSidecarBytes) : absl::StatusOr<std::string>(file.status());
    if (text.ok()) return text;
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", text.status().message()));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::string();
  std::string text(kMaxSidecarBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxSidecarBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is larger than the ", kMaxSidecarBytes, " bytes that it may have"));
  }
  return text;
}

// A few hex digits.
std::string HashOf(const std::string& text) { return hash::Sha256Hex(text).substr(0, 8); }

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedModel>> LoadModel(const model_service::ModelFile& file,
                                                             const NetworkOptions& options) {
  absl::StatusOr<checkpoint::Checkpoint> checkpoint = model_service::ReadCheckpoint(file);
  if (!checkpoint.ok()) return checkpoint.status();
  const absl::StatusOr<std::string> sidecar = ReadSidecar(file.path + ".json", file.root);
  if (!sidecar.ok()) return sidecar.status();
  absl::StatusOr<std::unique_ptr<SamNetwork>> network =
      LoadNetwork(checkpoint->state_dict, options, *sidecar);
  if (!network.ok()) {
    return absl::Status(network.status().code(),
                        absl::StrCat(file.path, ": ", network.status().message()));
  }
  auto model = std::make_shared<ServedModel>();
  model->file = file;
  const NetworkSpec& spec = (*network)->spec();
  model->name = spec.name;
  // What is kept in bf16 is other numbers for both.
  const std::string both =
      absl::StrCat(sidecar->empty() ? "" : absl::StrCat("-", HashOf(*sidecar)),
                   spec.arithmetic == "fp32" ? "" : absl::StrCat("-", spec.arithmetic),
                   options.embedding_precision == "fp32"
                       ? ""
                       : absl::StrCat("-", options.embedding_precision, "_embeddings"));
  model->version = absl::StrCat(model->name, "-", checkpoint->content_hash.substr(0, 12), both,
                                options.hq_token_only ? "-hq_token_only" : "");
  model->encoder = absl::StrCat(spec.encoder_hash.substr(0, 24), "-", spec.image_size,
                                spec.framing == Framing::kLongestSide ? "" : "-stretched", both);
  for (const auto& [name, view] : checkpoint->state_dict) {
    model->parameter_count += static_cast<std::uint64_t>(view.NumElements());
  }
  model->options = options;
  model->network = *std::move(network);
  return model;
}

}  // namespace segmenter
