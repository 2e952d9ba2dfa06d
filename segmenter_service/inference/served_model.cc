#include "segmenter_service/inference/served_model.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "files/text_file.h"
#include "hash/sha256.h"
#include "segmenter_service/modeling/hugging_face_names.h"
#include "serving/file_access.h"
#include "serving/log.h"

namespace segmenter {
namespace {

constexpr std::size_t kMaxSidecarBytes = 64 << 10;

// Whether a tensor belongs to what peft and the published ways to adapt Segment Anything add within
// its layers. Without them the same weights compute something else.
bool IsAdapter(absl::string_view name) {
  const std::string lower = absl::StrCat(".", absl::AsciiStrToLower(name));
  constexpr std::string_view kParts[] = {".lora",      "_lora",      ".adapter",        "_adapter",
                                         ".linear_a_", ".linear_b_", "prompt_generator"};
  return std::any_of(std::begin(kParts), std::end(kParts),
                     [&](std::string_view part) { return lower.find(part) != std::string::npos; });
}

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
  absl::StatusOr<std::string> text = files::ReadText(path, kMaxSidecarBytes);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

// A few hex digits.
std::string HashOf(const std::string& text) { return hash::Sha256Hex(text).substr(0, 8); }

// The tensors under the names of the official files, whoever saved them.
absl::StatusOr<checkpoint::StateDict> OfficialNames(checkpoint::StateDict state_dict) {
  for (const auto& [name, view] : state_dict) {
    if (!IsAdapter(name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("'", name,
                     "' is a part that fine-tuning has added to the network (LoRA or an "
                     "adapter); a plain Segment Anything checkpoint is needed: merge it into the "
                     "weights (peft: merge_and_unload) and save them again"));
  }
  return HasHuggingFaceNames(state_dict) ? FromHuggingFaceNames(state_dict) : state_dict;
}

// An extra tensor may be part of something that training needed; or of a network that isn't ours.
void WarnOfExtraTensors(const std::string& path, const std::vector<std::string>& names) {
  if (names.empty()) return;
  constexpr std::size_t kShown = 10;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
  serving::LogLine("model.extra_tensors", serving::LogLevel::kWarning)
      .Str("checkpoint", path)
      .Int("count", static_cast<std::int64_t>(names.size()))
      .Str("names", absl::StrCat(absl::StrJoin(names.begin(), end, ", "),
                                 names.size() > kShown ? ", ..." : ""))
      .Str("meaning", "The network has no such weights; they are not used.");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedModel>> LoadModel(const model_service::ModelFile& file,
                                                             const NetworkOptions& options) {
  constexpr std::string_view kAnchors[] = {"image_encoder", "vision_encoder"};
  absl::StatusOr<checkpoint::Checkpoint> checkpoint = model_service::ReadCheckpoint(file, kAnchors);
  if (!checkpoint.ok()) return checkpoint.status();
  const absl::StatusOr<std::string> sidecar = ReadSidecar(file.path + ".json", file.root);
  if (!sidecar.ok()) return sidecar.status();
  const auto with_path = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(file.path, ": ", status.message()));
  };
  const absl::StatusOr<checkpoint::StateDict> state_dict =
      OfficialNames(std::move(checkpoint->state_dict));
  if (!state_dict.ok()) return with_path(state_dict.status());
  absl::StatusOr<std::unique_ptr<SamNetwork>> network = LoadNetwork(*state_dict, options, *sidecar);
  if (!network.ok()) return with_path(network.status());
  WarnOfExtraTensors(file.path, (*network)->spec().extra_tensors);
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
                                spec.framing == Framing::kLongestSide ? "" : "-stretched", both,
                                // Who forbids products that are rounded otherwise doesn't want
                                // what others made with them, either.
                                options.precision == "fp32-strict" ? "-strict" : "");
  for (const auto& [name, view] : *state_dict) {
    model->parameter_count += static_cast<std::uint64_t>(view.NumElements());
  }
  model->options = options;
  model->network = *std::move(network);
  return model;
}

}  // namespace segmenter
