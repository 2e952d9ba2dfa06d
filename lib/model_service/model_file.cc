#include "model_service/model_file.h"

#include "serving/file_access.h"

namespace model_service {

absl::StatusOr<checkpoint::Checkpoint> ReadCheckpoint(const ModelFile& file) {
  if (file.root.empty()) return checkpoint::ReadCheckpoint(file.path);
  const absl::StatusOr<serving::FileBelow> opened = serving::OpenForClient(file.root, file.path);
  if (!opened.ok()) return opened.status();
  return checkpoint::ReadCheckpoint(file.path, opened->handle());
}

}  // namespace model_service
