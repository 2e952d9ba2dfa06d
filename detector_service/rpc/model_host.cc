#include "detector_service/rpc/model_host.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

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

namespace {

// Of each named model; the default one may take more.
constexpr std::size_t kOtherSizesBytes = std::size_t{256} << 20;

absl::StatusOr<std::shared_ptr<DetectionModel>> LoadAndWarmUp(const LoadOptions& options,
                                                              int threads) {
  nn::UseThreads(threads);
  absl::StatusOr<std::unique_ptr<DetectionModel>> model = DetectionModel::Load(options);
  if (!model.ok()) return model.status();
  if (const absl::Status warm = (*model)->WarmUp(); !warm.ok()) return warm;
  LogNotes(**model);
  return *std::move(model);
}

}  // namespace

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
    return LoadAndWarmUp(options, threads);
  };
}

model_service::NamedModels::Load NamedLoaderWith(const LoadOptions& options, int threads) {
  return [options, threads](
             const model_service::ModelFile& file) -> absl::StatusOr<model_service::LoadedModel> {
    LoadOptions own = options;
    own.checkpoint = file.path;
    own.checkpoint_root = file.root;
    own.checkpoint_handle = file.handle;
    own.config_file.clear();
    own.classes.clear();
    own.other_sizes_bytes = kOtherSizesBytes;
    absl::StatusOr<std::shared_ptr<DetectionModel>> model = LoadAndWarmUp(own, threads);
    if (!model.ok()) return model.status();
    model_service::LoadedModel loaded{.version = (*model)->version()};
    if ((*model)->has_several_sizes()) {
      std::error_code error;
      const std::uintmax_t file_bytes = std::filesystem::file_size(file.path, error);
      loaded.more_bytes = own.other_sizes_bytes + (error ? 0 : file_bytes);
    }
    loaded.model = *std::move(model);
    return loaded;
  };
}

}  // namespace detector
