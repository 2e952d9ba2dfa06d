#include "dataset/image_files.h"

#include <absl/strings/str_split.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "serving/file_access.h"
#include "text/local_files.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "vision/image_codec.h"

namespace dataset {
namespace {

using text::StrCat;

constexpr std::int64_t kMaxImageBytes = std::int64_t{64} << 20;

// "in/a b.jpg" of "/data/local-files/?d=in/a%20b.jpg"; of an address its path.
std::string PathOf(std::string_view image) {
  if (std::optional<std::string> file = text::LocalFileOf(image)) return *std::move(file);
  const auto scheme = image.find("://");
  const bool uploaded = image.starts_with("/data/upload/");
  if (scheme == std::string_view::npos && !uploaded) return std::string(image);
  if (scheme != std::string_view::npos) image.remove_prefix(scheme + 3);
  return text::PercentDecode(image.substr(0, image.find_first_of("?#")), /*plus_is_space=*/false);
}

}  // namespace

absl::StatusOr<std::string> ReadImageFile(const std::string& folder, std::string_view image) {
  const std::string path = PathOf(image);
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (std::size_t first = 0; first < parts.size(); ++first) {
    std::string below = parts[first];
    for (std::size_t i = first + 1; i < parts.size(); ++i) text::StrAppend(&below, "/", parts[i]);
    absl::StatusOr<serving::FileBelow> file = serving::FileBelow::Open(folder, below);
    if (file.ok()) return file->Read(kMaxImageBytes);
    // Of the folder, or of a machine that opens no file just now; neither says that there is none.
    if (absl::IsFailedPrecondition(file.status()) || absl::IsUnavailable(file.status())) {
      return absl::UnavailableError(file.status().message());
    }
  }
  return absl::NotFoundError(StrCat("no such file below ", folder));
}

absl::StatusOr<std::string> ReadWholeImage(const std::string& folder, std::string_view image) {
  absl::StatusOr<std::string> bytes = ReadImageFile(folder, image);
  if (!bytes.ok() || !vision::ReadImageHeader(*bytes, {}).ok()) return bytes;
  const absl::StatusOr<vision::DecodedImage> decoded = vision::DecodeImage(*bytes, {});
  if (!decoded.ok()) return absl::DataLossError(decoded.status().message());
  if (decoded->damage.empty()) return bytes;
  return absl::DataLossError(StrCat("it is damaged: ", decoded->damage));
}

std::string FileNameOf(std::string_view image) {
  const std::string path = PathOf(image);
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace dataset
