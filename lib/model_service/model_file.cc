#include "model_service/model_file.h"

#include "checkpoint/wrappers.h"
#include "serving/file_access.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace model_service {
namespace {

absl::StatusOr<checkpoint::Checkpoint> ReadAsSaved(const ModelFile& file) {
  if (!file.handle.empty()) return checkpoint::ReadCheckpoint(file.path, file.handle);
  if (file.root.empty()) return checkpoint::ReadCheckpoint(file.path);
  const absl::StatusOr<serving::FileBelow> opened = serving::OpenForClient(file.root, file.path);
  if (!opened.ok()) return opened.status();
  return checkpoint::ReadCheckpoint(file.path, opened->handle());
}

}  // namespace

absl::StatusOr<checkpoint::Checkpoint> ReadCheckpoint(const ModelFile& file,
                                                      std::span<const std::string_view> anchors) {
  absl::StatusOr<checkpoint::Checkpoint> checkpoint = ReadAsSaved(file);
  if (!checkpoint.ok()) return checkpoint;
  const absl::StatusOr<std::string> removed =
      checkpoint::RemoveWrappers(anchors, &checkpoint->state_dict);
  if (!removed.ok()) {
    return absl::Status(removed.status().code(),
                        text::StrCat(file.path, ": ", text::StdView(removed.status().message())));
  }
  if (!removed->empty()) {
    serving::LogLine("model.prefix_removed").Str("checkpoint", file.path).Str("prefix", *removed);
  }
  return checkpoint;
}

}  // namespace model_service
