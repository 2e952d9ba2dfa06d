// WebP through libwebp and libwebpdemux: OpenCV 4.6 reads no animation.
#ifndef DUET_VISION_WEBP_DECODER_H_
#define DUET_VISION_WEBP_DECODER_H_

#include <absl/status/statusor.h>

#include <string_view>

#include "vision/decoded_image.h"
#include "vision/geometry.h"

namespace vision {

// A still image, the same pixels as cv::imdecode's; or the first frame of an animation on a black
// canvas of `size` pixels, as Pillow's convert("RGB") gives it. Alpha is dropped. REQUIRES: the
// header is sound and `size`, which it says, is within limits. InvalidArgument for damaged data,
// which browsers don't show either (`damage` is always empty); ResourceExhausted, or the exception
// of an allocation, if memory runs out; nothing leaks then.
absl::StatusOr<DecodedImage> DecodeWebp(std::string_view bytes, Size size);

}  // namespace vision

#endif  // DUET_VISION_WEBP_DECODER_H_
