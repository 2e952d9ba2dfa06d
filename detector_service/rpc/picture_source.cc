#include "detector_service/rpc/picture_source.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "detector_service/rpc/path_guard.h"

namespace detector {

PictureSource::PictureSource(std::string image_root, const vision::ImageLimits& limits)
    : image_root_(std::move(image_root)), limits_(limits) {}

absl::StatusOr<std::string> PictureSource::ReadFile(const std::string& uri) const {
  const auto parsed = boost::urls::parse_uri(uri);
  if (!parsed || parsed->scheme() != "file" ||
      !(parsed->host().empty() || parsed->host() == "localhost")) {
    return absl::InvalidArgumentError(
        "image.uri must be file:///absolute/path; pictures elsewhere are fetched by the gateway");
  }
  if (image_root_.empty()) {
    return absl::InvalidArgumentError(
        "image.uri is refused: the detector runs without --image_root; send image.data");
  }
  const absl::StatusOr<std::string> path = ResolveBelow(image_root_, parsed->path());
  if (!path.ok()) return path.status();
  std::error_code error;
  const auto bytes = std::filesystem::file_size(*path, error);
  if (error || bytes > static_cast<std::uintmax_t>(limits_.max_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("image.uri: the file has ", bytes, " bytes, more than ", limits_.max_bytes));
  }
  std::ifstream file(*path, std::ios::binary);
  std::string contents(bytes, '\0');
  if (!file.read(contents.data(), static_cast<std::streamsize>(bytes))) {
    return absl::InvalidArgumentError(absl::StrCat("image.uri: '", *path, "' cannot be read"));
  }
  return contents;
}

absl::StatusOr<cv::Mat> PictureSource::Decode(const duet::vision::v1::Image& image) const {
  switch (image.source_case()) {
    case duet::vision::v1::Image::kData:
      return vision::DecodeImage(image.data(), limits_);
    case duet::vision::v1::Image::kUri: {
      const absl::StatusOr<std::string> bytes = ReadFile(image.uri());
      if (!bytes.ok()) return bytes.status();
      return vision::DecodeImage(*bytes, limits_);
    }
    case duet::vision::v1::Image::SOURCE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("image is missing: set image.data or image.uri");
}

}  // namespace detector
