#include "detector_service/rpc/model_host.h"

#include <absl/status/status.h>

#include <tuple>
#include <utility>

#include "nn/threads.h"
#include "serving/file_access.h"
#include "serving/process_metrics.h"

namespace detector {

ModelHost::ModelHost(std::shared_ptr<DetectionModel> model, ReloadOptions options)
    : options_(std::move(options)), model_(std::move(model)) {}

std::shared_ptr<DetectionModel> ModelHost::Current() const {
  const std::lock_guard lock(mutex_);
  return model_;
}

absl::StatusOr<Reloaded> ModelHost::Reload(const std::optional<std::string>& checkpoint,
                                           const std::optional<std::string>& config_file) {
  if (!options_.enabled) {
    return absl::PermissionDeniedError("ReloadModel is off; start with --enable_reload");
  }
  const std::unique_lock reload_lock(reloading_, std::try_to_lock);
  if (!reload_lock.owns_lock()) return absl::AbortedError("another reload is running");

  const std::shared_ptr<DetectionModel> previous = Current();
  LoadOptions load = previous->options();
  // A checkpoint brings its own config, so a config given earlier belongs to the earlier one.
  if (checkpoint) load.config_file.clear();
  for (const auto& [path, target, root] :
       {std::tuple(&checkpoint, &load.checkpoint, &load.checkpoint_root),
        std::tuple(&config_file, &load.config_file, &load.config_root)}) {
    if (!path->has_value()) continue;
    if (options_.model_root.empty()) {
      return absl::PermissionDeniedError(
          "ReloadModel reads no other files; start with --model_root");
    }
    const absl::StatusOr<serving::FileBelow> file =
        serving::OpenForClient(options_.model_root, **path);
    if (!file.ok()) return file.status();
    *target = file->path();
    *root = options_.model_root;
  }

  nn::UseThreads(options_.threads);
  absl::StatusOr<std::unique_ptr<DetectionModel>> next = DetectionModel::Load(load);
  if (!next.ok()) return next.status();
  if (const absl::Status warm = (*next)->WarmUp(); !warm.ok()) return warm;
  Reloaded reloaded{.model = *std::move(next),
                    .previous_version = previous->version(),
                    .peak_memory_bytes = serving::ResidentBytes()};
  const std::lock_guard lock(mutex_);
  model_ = reloaded.model;
  return reloaded;
}

}  // namespace detector
