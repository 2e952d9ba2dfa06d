#include "detector_service/rpc/model_host.h"

#include <memory>

#include "nn/threads.h"

namespace detector {

ModelHost::Loader LoaderWith(int threads) {
  return [threads](const DetectionModel& current, const model_service::ReloadFiles& files)
             -> absl::StatusOr<std::shared_ptr<DetectionModel>> {
    LoadOptions options = current.options();
    if (files.checkpoint) {
      options.checkpoint = files.checkpoint->path;
      options.checkpoint_root = files.checkpoint->root;
      options.config_file.clear();
    }
    if (files.config_file) {
      options.config_file = files.config_file->path;
      options.config_root = files.config_file->root;
    }
    nn::UseThreads(threads);
    absl::StatusOr<std::unique_ptr<DetectionModel>> next = DetectionModel::Load(options);
    if (!next.ok()) return next.status();
    if (const absl::Status warm = (*next)->WarmUp(); !warm.ok()) return warm;
    return *std::move(next);
  };
}

}  // namespace detector
