#include "serving/file_access.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace serving {

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

absl::StatusOr<std::string> ReadImageUri(const std::string& uri, const std::string& root,
                                         std::int64_t max_bytes) {
  const auto parsed = boost::urls::parse_uri(uri);
  if (!parsed || parsed->scheme() != "file" ||
      !(parsed->host().empty() || parsed->host() == "localhost")) {
    return absl::InvalidArgumentError(
        "image.uri must be file:///absolute/path; pictures elsewhere are fetched by the gateway");
  }
  if (root.empty()) {
    return absl::InvalidArgumentError(
        "image.uri is refused: this process runs without --image_root; send image.data");
  }
  const absl::StatusOr<std::string> path = ResolveBelow(root, parsed->path());
  if (!path.ok()) return path.status();
  std::error_code error;
  const auto bytes = std::filesystem::file_size(*path, error);
  if (error || bytes > static_cast<std::uintmax_t>(max_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("image.uri: the file has ", bytes, " bytes, more than ", max_bytes));
  }
  std::ifstream file(*path, std::ios::binary);
  std::string contents(bytes, '\0');
  if (!file.read(contents.data(), static_cast<std::streamsize>(bytes))) {
    return absl::InvalidArgumentError(absl::StrCat("image.uri: '", *path, "' cannot be read"));
  }
  return contents;
}

}  // namespace serving
