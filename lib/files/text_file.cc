#include "files/text_file.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "text/str_cat.h"

namespace files {

using text::StrCat;

absl::StatusOr<std::string> ReadText(const std::string& path, std::size_t max_bytes) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, StrCat(path, ": cannot be opened"));
  const absl::Cleanup close_file = [file] { close(file); };
  std::string text;
  char part[8192];
  for (;;) {
    const ssize_t got = read(file, part, sizeof part);
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EISDIR) {
      return absl::InvalidArgumentError(StrCat(path, ": is a directory; needed: a file"));
    }
    if (got < 0) return absl::ErrnoToStatus(errno, StrCat(path, ": cannot be read"));
    text.append(part, static_cast<std::size_t>(got));
    if (text.size() > max_bytes) {
      return absl::InvalidArgumentError(
          StrCat(path, ": is larger than the ", max_bytes, " bytes that it may have"));
    }
  }
}

}  // namespace files
