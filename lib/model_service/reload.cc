#include "model_service/reload.h"

#include <absl/status/status.h>

#include "serving/file_access.h"

namespace model_service {
namespace {

absl::StatusOr<ModelFile> FindFile(const std::string& path, const std::string& root) {
  if (root.empty()) {
    return absl::PermissionDeniedError("ReloadModel reads no other files; start with --model_root");
  }
  const absl::StatusOr<serving::FileBelow> file = serving::OpenForClient(root, path);
  if (!file.ok()) return file.status();
  return ModelFile{file->path(), root};
}

}  // namespace

absl::StatusOr<ReloadFiles> FindReloadFiles(const duet::vision::v1::ReloadModelRequest& request,
                                            const ReloadOptions& options) {
  if (!options.enabled) {
    return absl::PermissionDeniedError("ReloadModel is off; start with --enable_reload");
  }
  ReloadFiles files;
  if (request.has_checkpoint()) {
    absl::StatusOr<ModelFile> file = FindFile(request.checkpoint(), options.model_root);
    if (!file.ok()) return file.status();
    files.checkpoint = *std::move(file);
  }
  if (request.has_config_file()) {
    absl::StatusOr<ModelFile> file = FindFile(request.config_file(), options.model_root);
    if (!file.ok()) return file.status();
    files.config_file = *std::move(file);
  }
  return files;
}

}  // namespace model_service
