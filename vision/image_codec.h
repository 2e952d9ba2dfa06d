// Picture bytes to pixels, with limits that are checked on the header, before anything is decoded.
#ifndef DUET_VISION_IMAGE_CODEC_H_
#define DUET_VISION_IMAGE_CODEC_H_

#include <cstdint>
#include <string_view>

#include <absl/status/statusor.h>
#include <opencv2/core/mat.hpp>

#include "vision/geometry.h"

namespace vision {

struct ImageLimits {
  // Bytes of the encoded picture.
  std::int64_t max_bytes = 64 << 20;
  // Width × height; 100 megapixels decode to 300 MB.
  std::int64_t max_pixels = 100'000'000;
};

// What the header says, without decoding. `size` is the upright size (EXIF orientation applied).
struct ImageHeader {
  Size size;
  const char* format = "";  // "jpeg", "png", "webp", "bmp", "tiff"
};

// InvalidArgument, naming what was found, if `bytes` is none of the five formats, is cut off inside its header or
// exceeds a limit.
absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits);

// Decodes to 8-bit BGR (CV_8UC3), upright, as cv2.imread(IMREAD_COLOR) does: grey is replicated, alpha dropped,
// 16 bits reduced to 8. InvalidArgument for what ReadImageHeader refuses and for damaged data. Thread-safe.
absl::StatusOr<cv::Mat> DecodeImage(std::string_view bytes, const ImageLimits& limits);

}  // namespace vision

#endif  // DUET_VISION_IMAGE_CODEC_H_
