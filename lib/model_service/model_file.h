// The files that a model is read from: the operator names them in flags, a client in ReloadModel.
#ifndef DUET_MODEL_SERVICE_MODEL_FILE_H_
#define DUET_MODEL_SERVICE_MODEL_FILE_H_

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace model_service {

struct ModelFile {
  std::string path;
  // For a path that a client named: the directory below which the file must lie when it is opened,
  // whatever is put in its place meanwhile (serving/file_access.h). Empty: anywhere.
  std::string root;
  // Under which the file's bytes are opened, if it was opened before: /proc/self/fd/7. `path` then
  // only says in messages where it lies. Empty: they are opened under `path`.
  std::string handle;
};

// As checkpoint::ReadCheckpoint. With a root: InvalidArgument unless the file lies below it. The
// tensors have the names that they have in the network itself, which `anchors` tell
// (checkpoint/wrappers.h); what was removed from them is logged ("model.prefix_removed").
absl::StatusOr<checkpoint::Checkpoint> ReadCheckpoint(const ModelFile& file,
                                                      std::span<const std::string_view> anchors);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MODEL_FILE_H_
