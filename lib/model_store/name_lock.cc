#include "model_store/name_lock.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "model_store/names.h"
#include "text/str_cat.h"

namespace model_store {
namespace {

using text::StrCat;

constexpr char kLockName[] = ".lock";
constexpr int kLockFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

// Writable, since a lock over NFS needs that.
absl::StatusOr<int> OpenLock(const Folder& folder, const std::string& name, int more_flags) {
  const int file = openat(folder.descriptor(), name.c_str(), kLockFlags | more_flags, 0666);
  if (file >= 0) return file;
  return absl::ErrnoToStatus(errno, StrCat(folder.PathOf(name), ": cannot be opened"));
}

absl::Status WhyNoLock(const Folder& folder, const std::string& name) {
  return absl::ErrnoToStatus(errno, StrCat(folder.PathOf(name), ": cannot be locked"));
}

// Whether the file is still the one of that name.
bool IsCurrent(const Folder& folder, const std::string& name, int file) {
  struct stat by_name = {};
  struct stat opened = {};
  return fstatat(folder.descriptor(), name.c_str(), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(file, &opened) == 0 && by_name.st_ino == opened.st_ino;
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Wait(const Folder& folder, const std::string& name) {
  for (;;) {
    const absl::StatusOr<int> file = OpenLock(folder, name, O_CREAT);
    if (!file.ok()) return file.status();
    FileLock lock(*file);
    while (flock(*file, LOCK_EX) != 0) {
      if (errno != EINTR) return WhyNoLock(folder, name);
    }
    // Whoever held it may have removed the file.
    if (IsCurrent(folder, name, *file)) return lock;
  }
}

absl::StatusOr<FileLock> FileLock::Try(const Folder& folder, const std::string& name) {
  const absl::StatusOr<int> file = OpenLock(folder, name, 0);
  if (!file.ok()) return file.status();
  FileLock lock(*file);
  if (flock(*file, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return WhyNoLock(folder, name);
  return absl::ResourceExhaustedError(StrCat(folder.PathOf(name), ": is in use"));
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<NameLock> NameLock::Wait(const Folder& kind, const std::string& name) {
  for (;;) {
    absl::StatusOr<Folder> folder = kind.Sub(name);
    if (!folder.ok()) return folder.status();
    absl::StatusOr<FileLock> lock = FileLock::Wait(*folder, kLockName);
    // The folder may have been deleted while this waited, and another one made.
    if (!kind.Has(name, *folder)) continue;
    if (!lock.ok()) return lock.status();
    return NameLock(*std::move(folder), *std::move(lock));
  }
}

std::uint64_t NameLock::last_version() const {
  std::array<char, 32> text;
  const ssize_t got = pread(lock_.descriptor(), text.data(), text.size(), 0);
  if (got <= 0) return 0;
  return ParseVersion(std::string_view(text.data(), static_cast<std::size_t>(got))).value_or(0);
}

absl::Status NameLock::SetLastVersion(std::uint64_t version) {
  const std::string text = StrCat(version);
  const auto size = static_cast<ssize_t>(text.size());
  const int file = lock_.descriptor();
  errno = ENOSPC;  // where only a part is written
  if (pwrite(file, text.data(), text.size(), 0) == size && ftruncate(file, size) == 0 &&
      fsync(file) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, StrCat(folder_.PathOf(kLockName), ": cannot be written"));
}

}  // namespace model_store
