#include "files/mapped_file.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "text/str_cat.h"

namespace files {

using text::StrCat;

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path,
                                                                   const std::string& name) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return absl::ErrnoToStatus(errno, StrCat(name, ": cannot open"));
  const absl::Cleanup close_file = [file] { close(file); };

  struct stat info = {};
  if (fstat(file, &info) != 0) return absl::ErrnoToStatus(errno, StrCat(name, ": cannot stat"));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat(name, ": not a regular file"));
  }
  if (info.st_size == 0) return absl::InvalidArgumentError(StrCat(name, ": empty file"));

  const auto size = static_cast<std::size_t>(info.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (address == MAP_FAILED) return absl::ErrnoToStatus(errno, StrCat(name, ": cannot map"));
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const char*>(address), size));
}

MappedFile::~MappedFile() { munmap(const_cast<char*>(address_), size_); }

}  // namespace files
