#include "segmenter_service/inference/served_model.h"

#include <absl/strings/str_cat.h>

#include <utility>

#include "checkpoint/checkpoint.h"

namespace segmenter {

absl::StatusOr<std::shared_ptr<const ServedModel>> LoadModel(const std::string& path,
                                                             const NetworkOptions& options) {
  absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::unique_ptr<SamNetwork>> network = LoadNetwork(file->state_dict, options);
  if (!network.ok()) {
    return absl::Status(network.status().code(),
                        absl::StrCat(path, ": ", network.status().message()));
  }
  auto model = std::make_shared<ServedModel>();
  model->path = path;
  model->name = (*network)->config().Name();
  model->version =
      absl::StrCat(model->name, "-", file->content_hash.substr(0, 12),
                   options.precision == "fp32" ? "" : absl::StrCat("-", options.precision));
  for (const auto& [name, view] : file->state_dict) {
    model->parameter_count += static_cast<std::uint64_t>(view.NumElements());
  }
  model->options = options;
  model->network = *std::move(network);
  return model;
}

}  // namespace segmenter
