// Keeps paths that come from requests inside a directory.
#ifndef DUET_DETECTOR_SERVICE_RPC_PATH_GUARD_H_
#define DUET_DETECTOR_SERVICE_RPC_PATH_GUARD_H_

#include <absl/status/statusor.h>

#include <string>

namespace detector {

// `path`, absolute or relative to `root`, with all symbolic links resolved. InvalidArgument unless
// it is then a regular file below `root`; whether something outside exists is not told.
absl::StatusOr<std::string> ResolveBelow(const std::string& root, const std::string& path);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_PATH_GUARD_H_
