#include "detector_service/rpc/picture_source.h"

#include <absl/status/status.h>

#include <utility>

#include "serving/file_access.h"

namespace detector {

PictureSource::PictureSource(std::string image_root, const vision::ImageLimits& limits)
    : image_root_(std::move(image_root)), limits_(limits) {}

absl::StatusOr<cv::Mat> PictureSource::Decode(const duet::vision::v1::Image& image) const {
  switch (image.source_case()) {
    case duet::vision::v1::Image::kData:
      return vision::DecodeImage(image.data(), limits_);
    case duet::vision::v1::Image::kUri: {
      const absl::StatusOr<std::string> bytes =
          serving::ReadImageUri(image.uri(), image_root_, limits_.max_bytes);
      if (!bytes.ok()) return bytes.status();
      return vision::DecodeImage(*bytes, limits_);
    }
    case duet::vision::v1::Image::SOURCE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("image is missing: set image.data or image.uri");
}

}  // namespace detector
