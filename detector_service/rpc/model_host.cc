#include "detector_service/rpc/model_host.h"

#include <memory>
#include <string>

#include "nn/threads.h"
#include "serving/log.h"

namespace detector {

void LogNotes(const DetectionModel& model) {
  for (const std::string& note : model.notes()) {
    serving::LogLine("model.note", serving::LogLevel::kWarning)
        .Str("name", model.name())
        .Str("note", note);
  }
}

ModelHost::Loader LoaderWith(int threads) {
  return [threads](const DetectionModel& current, const model_service::ReloadFiles& files)
             -> absl::StatusOr<std::shared_ptr<DetectionModel>> {
    LoadOptions options = current.options();
    if (files.checkpoint) {
      options.checkpoint = files.checkpoint->path;
      options.checkpoint_root = files.checkpoint->root;
      options.config_file.clear();
      options.classes.clear();
    }
    if (files.config_file) {
      options.config_file = files.config_file->path;
      options.config_root = files.config_file->root;
    }
    nn::UseThreads(threads);
    absl::StatusOr<std::unique_ptr<DetectionModel>> next = DetectionModel::Load(options);
    if (!next.ok()) return next.status();
    if (const absl::Status warm = (*next)->WarmUp(); !warm.ok()) return warm;
    LogNotes(**next);
    return *std::move(next);
  };
}

}  // namespace detector
