#include "detector_service/rpc/path_guard.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace detector {

absl::StatusOr<std::string> ResolveBelow(const std::string& root, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path base = fs::canonical(root, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("the directory '", root, "' cannot be read: ", error.message()));
  }
  const absl::Status refused = absl::InvalidArgumentError(
      absl::StrCat("'", path, "' is not a file below the directory that this process may read"));
  if (path.find('\0') != std::string::npos) return refused;
  const fs::path full = fs::canonical(base / path, error);  // an absolute `path` replaces base
  if (error) return refused;
  const auto [end_of_base, rest] =
      std::mismatch(base.begin(), base.end(), full.begin(), full.end());
  if (end_of_base != base.end() || rest == full.end()) return refused;
  // Not a directory, and not a pipe, which would block whoever opens it.
  if (!fs::is_regular_file(full, error)) return refused;
  return full.string();
}

}  // namespace detector
