// ReloadModel's request: whether it is allowed and which files it names.
#ifndef DUET_MODEL_SERVICE_RELOAD_H_
#define DUET_MODEL_SERVICE_RELOAD_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "duet/vision/v1/model.pb.h"
#include "model_service/model_file.h"

namespace model_service {

struct ReloadOptions {
  bool enabled = false;
  // The directory below which the files of a request lie. Empty: a request may name none.
  std::string model_root;
};

struct ReloadFiles {
  // Absent: the one in use, read again.
  std::optional<ModelFile> checkpoint;
  // Absent: the one in use, if the checkpoint is, too.
  std::optional<ModelFile> config_file;
};

// PermissionDenied: `options` don't allow it; InvalidArgument: a path that is no file below
// model_root; FailedPrecondition: model_root cannot be read.
absl::StatusOr<ReloadFiles> FindReloadFiles(const duet::vision::v1::ReloadModelRequest& request,
                                            const ReloadOptions& options);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_RELOAD_H_
