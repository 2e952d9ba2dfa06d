#include "model_store/folder.h"

#include <absl/cleanup/cleanup.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "hash/sha256.h"
#include "model_store/names.h"
#include "text/str_cat.h"

namespace model_store {
namespace {

using text::StrCat;

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

absl::Status WhyNoFolder(int error, const std::string& path) {
  if (error == ENOTDIR || error == ELOOP) {
    return absl::FailedPreconditionError(
        StrCat(path, ": is a symbolic link or no folder; needed: a folder"));
  }
  return absl::ErrnoToStatus(error, StrCat(path, ": cannot be opened"));
}

// Calls `take` with the file's bytes, part by part.
absl::Status ReadParts(int file, const std::string& path,
                       absl::FunctionRef<absl::Status(std::string_view part)> take) {
  std::array<char, 1 << 16> part;
  for (;;) {
    const ssize_t got = read(file, part.data(), part.size());
    if (got == 0) return absl::OkStatus();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, StrCat(path, ": cannot be read"));
    absl::Status status = take({part.data(), static_cast<std::size_t>(got)});
    if (!status.ok()) return status;
  }
}

absl::Status WriteAll(int file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      return absl::ErrnoToStatus(errno, StrCat(path, ": cannot be copied"));
    }
  }
  return absl::OkStatus();
}

// `copy`: an open file that gets what is read, or -1.
absl::StatusOr<StoredFile> MeasureParts(int file, const std::string& name, const std::string& path,
                                        int copy) {
  StoredFile stored{.name = name};
  hash::Sha256Hasher hasher;
  const absl::Status status = ReadParts(file, path, [&](std::string_view part) {
    hasher.Update(part);
    stored.bytes += part.size();
    return copy < 0 ? absl::OkStatus() : WriteAll(copy, part, path);
  });
  if (!status.ok()) return status;
  stored.sha256 = hash::Hex(hasher.Finish());
  return stored;
}

}  // namespace

absl::StatusOr<Folder> Folder::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), kFolderFlags);
  if (descriptor < 0) return WhyNoFolder(errno, path);
  return Folder(descriptor, path);
}

Folder::Folder(Folder&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

Folder& Folder::operator=(Folder&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

Folder::~Folder() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string Folder::PathOf(std::string_view name) const { return StrCat(path_, "/", name); }

absl::StatusOr<Folder> Folder::Sub(const std::string& name) const {
  const int descriptor = openat(descriptor_, name.c_str(), kFolderFlags | O_NOFOLLOW);
  if (descriptor < 0) return WhyNoFolder(errno, PathOf(name));
  return Folder(descriptor, PathOf(name));
}

absl::StatusOr<Folder> Folder::SubOrNew(const std::string& name) const {
  if (mkdirat(descriptor_, name.c_str(), 0777) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, StrCat(PathOf(name), ": cannot be made"));
  }
  return Sub(name);
}

absl::StatusOr<std::vector<std::string>> Folder::Names() const {
  const int copy = openat(descriptor_, ".", kFolderFlags);
  DIR* const stream = copy < 0 ? nullptr : fdopendir(copy);
  if (stream == nullptr) {
    absl::Status status = absl::ErrnoToStatus(errno, StrCat(path_, ": cannot be read"));
    if (copy >= 0) close(copy);
    return status;
  }
  const absl::Cleanup close_stream = [stream] { closedir(stream); };
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(stream);
    if (entry == nullptr) break;
    if (IsFileName(entry->d_name)) names.emplace_back(entry->d_name);
  }
  if (errno != 0) return absl::ErrnoToStatus(errno, StrCat(path_, ": cannot be read"));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<int> Folder::OpenFile(const std::string& name) const {
  // A pipe doesn't block.
  const int file =
      openat(descriptor_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const int error = errno;
  struct stat info = {};
  if (file < 0 && error != ELOOP) {
    return absl::ErrnoToStatus(error, StrCat(PathOf(name), ": cannot be opened"));
  }
  if (file >= 0 && fstat(file, &info) == 0 && S_ISREG(info.st_mode)) return file;
  if (file >= 0) close(file);
  return absl::FailedPreconditionError(
      StrCat(PathOf(name), ": is a symbolic link or no regular file; needed: a file"));
}

absl::StatusOr<std::string> Folder::ReadText(const std::string& name, std::size_t max_bytes) const {
  const absl::StatusOr<int> file = OpenFile(name);
  if (!file.ok()) return file.status();
  const absl::Cleanup close_file = [&] { close(*file); };
  std::string text;
  const absl::Status status = ReadParts(*file, PathOf(name), [&](std::string_view part) {
    text.append(part);
    if (text.size() <= max_bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(
        StrCat(PathOf(name), ": is larger than the ", max_bytes, " bytes that it may have"));
  });
  if (!status.ok()) return status;
  return text;
}

absl::StatusOr<StoredFile> Folder::Measure(const std::string& name, bool sync) const {
  const absl::StatusOr<int> file = OpenFile(name);
  if (!file.ok()) return file.status();
  const absl::Cleanup close_file = [&] { close(*file); };
  absl::StatusOr<StoredFile> stored = MeasureParts(*file, name, PathOf(name), /*copy=*/-1);
  if (stored.ok() && sync && fsync(*file) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(PathOf(name), ": cannot be made durable"));
  }
  return stored;
}

absl::StatusOr<StoredFile> Folder::CopyTo(int copy, const std::string& name) const {
  const absl::StatusOr<int> file = OpenFile(name);
  if (!file.ok()) return file.status();
  const absl::Cleanup close_file = [&] { close(*file); };
  return MeasureParts(*file, name, PathOf(name), copy);
}

absl::Status Folder::Sync() const {
  // File systems that can't say so of a folder are believed.
  if (fsync(descriptor_) == 0 || errno == EINVAL) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat(path_, ": cannot be made durable"));
}

bool Folder::Has(const std::string& name, const Folder& other) const {
  struct stat by_name = {};
  struct stat opened = {};
  return fstatat(descriptor_, name.c_str(), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(other.descriptor_, &opened) == 0 && by_name.st_dev == opened.st_dev &&
         by_name.st_ino == opened.st_ino;
}

}  // namespace model_store
