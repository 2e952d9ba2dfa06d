// Files that clients may name: only below a directory that the operator gave.
#ifndef DUET_SERVING_FILE_ACCESS_H_
#define DUET_SERVING_FILE_ACCESS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

namespace serving {

// `path`, absolute or relative to `root`, with all symbolic links resolved. InvalidArgument unless
// it is then a regular file below `root`; whether something outside exists is not told.
absl::StatusOr<std::string> ResolveBelow(const std::string& root, const std::string& path);

// What the file of a request's image.uri holds. InvalidArgument, saying what is needed, unless it
// is a file:// URI of a regular file below `root` (the flag --image_root; "" refuses all) of at
// most `max_bytes`.
absl::StatusOr<std::string> ReadImageUri(const std::string& uri, const std::string& root,
                                         std::int64_t max_bytes);

}  // namespace serving

#endif  // DUET_SERVING_FILE_ACCESS_H_
