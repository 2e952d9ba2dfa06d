// The encoded bytes of a request's picture: in the message, or in a file that the process may read.
#ifndef DUET_DETECTOR_SERVICE_RPC_PICTURE_SOURCE_H_
#define DUET_DETECTOR_SERVICE_RPC_PICTURE_SOURCE_H_

#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>
#include <string>

#include "duet/vision/v1/image.pb.h"
#include "vision/image_codec.h"

namespace detector {

// Thread-safe.
class PictureSource {
 public:
  // `image_root`: where file:// pictures may lie; empty: nowhere.
  PictureSource(std::string image_root, const vision::ImageLimits& limits);

  // Decoded: CV_8UC3, BGR, upright. InvalidArgument for whatever is wrong with the image.
  absl::StatusOr<cv::Mat> Decode(const duet::vision::v1::Image& image) const;

 private:
  const std::string image_root_;
  const vision::ImageLimits limits_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_PICTURE_SOURCE_H_
