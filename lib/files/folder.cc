#include "files/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "text/str_cat.h"

namespace files {

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), text::StrCat(path, ": cannot make the folder"));
}

absl::Status SyncFolder(const std::string& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = folder < 0 ? errno : 0;
  if (error == EACCES) return absl::OkStatus();  // may be written to without being readable
  if (error == 0 && fsync(folder) != 0 && errno != EINVAL) error = errno;
  if (folder >= 0) close(folder);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, text::StrCat(path, ": cannot be synced"));
}

}  // namespace files
