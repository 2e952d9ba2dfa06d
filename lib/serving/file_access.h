// Files that clients may name: only below a directory that the operator gave.
//
// Checking the name is not enough: anybody who may write below the directory can replace the file
// by a symbolic link between the check and the open. So a file is opened once, the open file is
// asked where it is and what it is, and only that open file is read. Links are followed if they end
// below the directory. Nothing here blocks on a pipe or opens a device.
#ifndef DUET_SERVING_FILE_ACCESS_H_
#define DUET_SERVING_FILE_ACCESS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

namespace serving {

// A regular file below a root, held open. Movable.
class FileBelow {
 public:
  // `path`: absolute, or relative to `root`. FailedPrecondition: the root cannot be read;
  // OutOfRange: the path leads out of it; NotFound; PermissionDenied: the system refuses it;
  // InvalidArgument: not a regular file, or a zero byte in the name; Unavailable: not just now.
  static absl::StatusOr<FileBelow> Open(const std::string& root, const std::string& path);

  FileBelow(FileBelow&& other) noexcept;
  FileBelow& operator=(FileBelow&& other) noexcept;
  ~FileBelow();

  // Where it was when it was opened, without symbolic links.
  const std::string& path() const { return path_; }
  // A name under which this very file can be opened again for as long as the object lives, whatever
  // happens to path().
  std::string handle() const;

  // All of it. InvalidArgument if it has more than `max_bytes`, PermissionDenied, or Unavailable if
  // reading fails. Messages don't name it.
  absl::StatusOr<std::string> Read(std::int64_t max_bytes) const;

 private:
  FileBelow(int descriptor, std::string path);

  int descriptor_ = -1;  // of O_PATH: it names the file and reads nothing
  std::string path_;
};

// The same for callers that may not learn what exists outside: if `path` is not a regular file
// below `root`, the error is InvalidArgument with one sentence, whatever the reason.
// FailedPrecondition if the root cannot be read.
absl::StatusOr<FileBelow> OpenForClient(const std::string& root, const std::string& path);

// The bytes of the file that a request's image.uri names. `root`: the flag --image_root; "" refuses
// all. InvalidArgument, which says what is needed, unless it is a file:// URI of a regular file
// below `root` with at most `max_bytes`; it doesn't tell whether something outside exists.
absl::StatusOr<std::string> ReadImageUri(const std::string& uri, const std::string& root,
                                         std::int64_t max_bytes);

}  // namespace serving

#endif  // DUET_SERVING_FILE_ACCESS_H_
