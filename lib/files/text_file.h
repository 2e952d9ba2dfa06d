// The whole text of a small file: a config, a list, a certificate.
#ifndef DUET_FILES_TEXT_FILE_H_
#define DUET_FILES_TEXT_FILE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>

namespace files {

// Also of a pipe. NotFound if there is no such file, PermissionDenied if it may not be read,
// InvalidArgument if it is a folder or larger than `max_bytes`; the message starts with the path.
absl::StatusOr<std::string> ReadText(const std::string& path, std::size_t max_bytes);

}  // namespace files

#endif  // DUET_FILES_TEXT_FILE_H_
