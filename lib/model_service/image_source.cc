#include "model_service/image_source.h"

#include <absl/status/status.h>

#include <utility>

#include "model_service/decode_image.h"
#include "serving/file_access.h"

namespace model_service {

ImageSource::ImageSource(std::string image_root, const vision::ImageLimits& limits,
                         serving::Metrics& metrics)
    : image_root_(std::move(image_root)), limits_(limits), metrics_(metrics) {
  metrics_.Get(kDamagedImages);  // there from the start, as 0
}

absl::StatusOr<std::string_view> ImageSource::Read(const duet::vision::v1::Image& image,
                                                   std::string* storage) const {
  std::string_view bytes = image.data();
  if (image.has_uri()) {
    absl::StatusOr<std::string> file =
        serving::ReadImageUri(image.uri(), image_root_, limits_.max_bytes);
    if (!file.ok()) return file.status();
    *storage = *std::move(file);
    bytes = *storage;
  }
  if (bytes.empty()) {
    return absl::InvalidArgumentError("image is missing or empty: set image.data or image.uri");
  }
  return bytes;
}

absl::StatusOr<cv::Mat> ImageSource::Decode(const duet::vision::v1::Image& image,
                                            const serving::RequestContext* request) const {
  std::string storage;
  const absl::StatusOr<std::string_view> bytes = Read(image, &storage);
  if (!bytes.ok()) return bytes.status();
  return DecodeImage(*bytes, limits_, request, metrics_);
}

}  // namespace model_service
