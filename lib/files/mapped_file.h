// A file's bytes, mapped read-only: pages come in when they are touched and cost no memory of ours.
#ifndef DUET_FILES_MAPPED_FILE_H_
#define DUET_FILES_MAPPED_FILE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace files {

class MappedFile {
 public:
  // NotFound, PermissionDenied or InvalidArgument (empty, not a regular file); the message starts
  // with the path, or with `name` if the path is not one that people know the file by.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path) {
    return Open(path, path);
  }
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path,
                                                                const std::string& name);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Valid for the object's life. If somebody truncates the file meanwhile, touching the lost pages
  // kills the process.
  std::string_view bytes() const { return {address_, size_}; }

 private:
  MappedFile(const char* address, std::size_t size) : address_(address), size_(size) {}

  const char* const address_;
  const std::size_t size_;
};

}  // namespace files

#endif  // DUET_FILES_MAPPED_FILE_H_
