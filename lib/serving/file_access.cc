#include "serving/file_access.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace serving {
namespace {

std::string HandleOf(int descriptor) { return absl::StrCat("/proc/self/fd/", descriptor); }

// Where an open file is; "" if that can't be told.
std::string PathOf(int descriptor) {
  std::array<char, PATH_MAX> path;
  const ssize_t length = readlink(HandleOf(descriptor).c_str(), path.data(), path.size());
  return length <= 0 ? "" : std::string(path.data(), static_cast<std::size_t>(length));
}

absl::Status ReadError(int error) {
  const std::string why = absl::StrCat("it cannot be read: ", std::strerror(error));
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(why);
  return absl::UnavailableError(why);
}

}  // namespace

absl::StatusOr<FileBelow> FileBelow::Open(const std::string& root, const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("the name has a zero byte in it");
  }
  const int directory = open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the directory '", root, "' cannot be read: ", std::strerror(errno)));
  }
  const absl::Cleanup close_directory = [directory] { close(directory); };
  const int descriptor = openat(directory, path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    const std::string why = absl::StrCat("'", path, "': ", std::strerror(error));
    if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(why);
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO) {
      return absl::UnavailableError(why);
    }
    return absl::PermissionDeniedError(why);
  }
  FileBelow file(descriptor, PathOf(descriptor));
  std::string prefix = PathOf(directory);
  if (prefix.empty() || prefix.back() != '/') prefix += '/';
  if ((file.path_ + "/").compare(0, prefix.size(), prefix) != 0) {
    return absl::OutOfRangeError(absl::StrCat("'", path, "' leads out of the directory"));
  }
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a regular file"));
  }
  return file;
}

FileBelow::FileBelow(int descriptor, std::string path)
    : descriptor_(descriptor), path_(std::move(path)) {}

FileBelow::FileBelow(FileBelow&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

FileBelow& FileBelow::operator=(FileBelow&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

FileBelow::~FileBelow() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string FileBelow::handle() const { return HandleOf(descriptor_); }

absl::StatusOr<std::string> FileBelow::Read(std::int64_t max_bytes) const {
  const int file = open(handle().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ReadError(errno);
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat info;
  if (fstat(file, &info) != 0) return ReadError(errno);
  if (info.st_size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", info.st_size, " bytes; the limit is ", max_bytes));
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t now = read(file, bytes.data() + got, bytes.size() - got);
    if (now < 0 && errno == EINTR) continue;
    if (now < 0) return ReadError(errno);
    if (now == 0) break;
    got += static_cast<std::size_t>(now);
  }
  bytes.resize(got);
  return bytes;
}

absl::StatusOr<FileBelow> OpenForClient(const std::string& root, const std::string& path) {
  absl::StatusOr<FileBelow> file = FileBelow::Open(root, path);
  if (file.ok() || absl::IsFailedPrecondition(file.status())) return file;
  return absl::InvalidArgumentError(
      absl::StrCat("'", path, "' is not a file below the directory that this process may read"));
}

absl::StatusOr<std::string> ReadImageUri(const std::string& uri, const std::string& root,
                                         std::int64_t max_bytes) {
  const auto parsed = boost::urls::parse_uri(uri);
  if (!parsed || parsed->scheme() != "file" ||
      !(parsed->host().empty() || parsed->host() == "localhost")) {
    return absl::InvalidArgumentError(
        "image.uri must be file:///absolute/path; images elsewhere are fetched by the gateway");
  }
  if (root.empty()) {
    return absl::InvalidArgumentError(
        "image.uri is refused: this process runs without --image_root; send image.data");
  }
  const absl::StatusOr<FileBelow> file = OpenForClient(root, parsed->path());
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> bytes = file->Read(max_bytes);
  if (!bytes.ok()) {
    return absl::Status(bytes.status().code(), absl::StrCat("image.uri: '", parsed->path(),
                                                            "': ", bytes.status().message()));
  }
  return bytes;
}

}  // namespace serving
