#include "files/atomic_file.h"

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "files/folder.h"
#include "text/str_cat.h"

namespace files {

using text::StrCat;

namespace {

// "checkpoint.pth" of "checkpoint.pth.17.0.tmp"; "" if the name isn't one of ours.
std::string_view WrittenName(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789";
  if (!name.ends_with(".tmp")) return "";
  name.remove_suffix(4);
  for (int number = 0; number < 2; ++number) {
    const auto dot = name.find_last_not_of(kDigits);
    if (dot == std::string_view::npos || dot + 1 == name.size() || name[dot] != '.') return "";
    name = name.substr(0, dot);
  }
  return name;
}

// Removes the files in a folder that were written under one of these names.
void RemoveWritten(const std::filesystem::path& folder,
                   absl::FunctionRef<bool(std::string_view written)> is_meant) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().native();
    const std::string_view written = WrittenName(name);
    std::error_code ignored;
    if (!written.empty() && is_meant(written)) std::filesystem::remove(it->path(), ignored);
  }
}

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  // A name that nobody uses: a process that died before its rename may have left one with our id.
  static std::atomic<int> counter = 0;
  int file = -1;
  std::string temporary_path;
  do {
    temporary_path = StrCat(path, ".", getpid(), ".", counter++, ".tmp");
    file = open(temporary_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file < 0 && errno == EEXIST);
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
  if (fsync(file_) != 0 || rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(path_, ": cannot finish"));
  }
  close(std::exchange(file_, -1));
  // A rename is durable once the folder is.
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  return SyncFolder(folder.empty() ? "." : folder.native());
}

absl::Status WriteFile(const std::string& path, std::string_view contents) {
  absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  file->Append(contents);
  return file->Commit();
}

void RemoveAbandonedFiles(const std::string& folder) {
  RemoveWritten(folder, [](std::string_view) { return true; });
}

void RemoveAbandonedAttempts(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string name = file.filename().native();
  RemoveWritten(file.has_parent_path() ? file.parent_path() : ".",
                [&](std::string_view written) { return written == name; });
}

}  // namespace files
