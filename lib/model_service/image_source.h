// The encoded bytes of a request's image: in the message, or in a file that the process may read.
#ifndef DUET_MODEL_SERVICE_IMAGE_SOURCE_H_
#define DUET_MODEL_SERVICE_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>

#include "duet/vision/v1/image.pb.h"
#include "serving/metrics.h"
#include "serving/request_context.h"
#include "vision/image_codec.h"

namespace model_service {

// Thread-safe.
class ImageSource {
 public:
  // `image_root`: the directory below which file:// images may lie; empty: none may be read.
  // `metrics` must outlive this.
  ImageSource(std::string image_root, const vision::ImageLimits& limits, serving::Metrics& metrics);

  // A view into `image`, or into `*storage`, which then holds the file. Never empty.
  // InvalidArgument: the image is missing, or the file may not be read.
  absl::StatusOr<std::string_view> Read(const duet::vision::v1::Image& image,
                                        std::string* storage) const;

  // CV_8UC3, BGR, upright. InvalidArgument for whatever is wrong with the image, but a damaged one
  // is decoded as far as it goes, and logged with the ids of `request` (decode_image.h).
  absl::StatusOr<cv::Mat> Decode(const duet::vision::v1::Image& image,
                                 const serving::RequestContext* request) const;

 private:
  const std::string image_root_;
  const vision::ImageLimits limits_;
  serving::Metrics& metrics_;
};

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_IMAGE_SOURCE_H_
