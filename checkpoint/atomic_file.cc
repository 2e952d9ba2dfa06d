#include "checkpoint/atomic_file.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "checkpoint/str_cat.h"

namespace checkpoint {

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  std::string temporary_path = path + ".XXXXXX";
  const int file = mkostemp(temporary_path.data(), O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, StrCat(path, ": cannot create"));
  return AtomicFile(path, std::move(temporary_path), file);
}

AtomicFile::AtomicFile(std::string path, std::string temporary_path, int file)
    : path_(std::move(path)), temporary_path_(std::move(temporary_path)), file_(file) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(other.path_),
      temporary_path_(other.temporary_path_),
      file_(std::exchange(other.file_, -1)),
      size_(other.size_),
      status_(std::move(other.status_)) {}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_path_.c_str());
}

void AtomicFile::Append(std::string_view bytes) {
  size_ += bytes.size();
  while (status_.ok() && !bytes.empty()) {
    const ssize_t written = write(file_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      status_ = absl::ErrnoToStatus(errno, StrCat(path_, ": cannot write"));
    }
  }
}

absl::Status AtomicFile::Commit() {
  if (!status_.ok()) return status_;
  // mkostemp makes files for their owner only; an ordinary new file follows the umask.
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(file_, 0666 & ~mask) != 0 || fsync(file_) != 0 ||
      rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(path_, ": cannot finish"));
  }
  close(std::exchange(file_, -1));
  return absl::OkStatus();
}

}  // namespace checkpoint
