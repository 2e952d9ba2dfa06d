#include "segmenter_service/rpc/image_source.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace segmenter {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kScheme = "file://";

// "%20" and its like; false if malformed or if a NUL hides in it.
bool PercentDecode(absl::string_view text, std::string* out) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = digit(text[i + 1]), low = digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    out->push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

bool IsBelow(const fs::path& path, const fs::path& root) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

absl::StatusOr<std::string> ReadFile(const std::string& uri, const std::string& root,
                                     std::int64_t max_bytes) {
  if (root.empty()) {
    return absl::PermissionDeniedError(
        "image.uri is refused, since this process runs without --image_root: send image.data");
  }
  std::string name;
  if (!absl::StartsWith(uri, "file:///") ||
      !PercentDecode(absl::string_view(uri).substr(kScheme.size()), &name)) {
    return absl::InvalidArgumentError(
        "image.uri must be file:///absolute/path; fetching from elsewhere is the gateway's "
        "business");
  }
  std::error_code error;
  const fs::path real_root = fs::canonical(root, error);
  if (error) return absl::FailedPreconditionError("--image_root cannot be read");
  const fs::path path = fs::weakly_canonical(name, error);
  if (error || !IsBelow(path, real_root)) {
    return absl::PermissionDeniedError("image.uri lies outside of --image_root");
  }
  if (!fs::is_regular_file(path, error)) {
    return absl::NotFoundError("image.uri: there is no such file below --image_root");
  }
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > static_cast<std::uintmax_t>(max_bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("image.uri: the file has more than ", max_bytes, " bytes"));
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::PermissionDeniedError("image.uri: the file cannot be read");
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string_view> ReadImageBytes(const duet::vision::v1::Image& image,
                                                const std::string& root, std::int64_t max_bytes,
                                                std::string* storage) {
  if (image.has_uri()) {
    absl::StatusOr<std::string> bytes = ReadFile(image.uri(), root, max_bytes);
    if (!bytes.ok()) return bytes.status();
    *storage = *std::move(bytes);
    return *storage;
  }
  if (image.data().empty()) {
    return absl::InvalidArgumentError("image is empty; it needs data or uri");
  }
  return image.data();
}

}  // namespace segmenter
