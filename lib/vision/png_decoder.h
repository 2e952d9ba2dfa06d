// PNG through libpng itself: OpenCV's wrapper lets it print its warnings to stderr.
#ifndef DUET_VISION_PNG_DECODER_H_
#define DUET_VISION_PNG_DECODER_H_

#include <absl/status/statusor.h>

#include <string_view>

#include "vision/decoded_image.h"

namespace vision {

// 8-bit BGR as stored (orientation not applied), the same pixels as cv::imdecode's: the high byte
// of 16 bits, alpha dropped and not blended; of an animation, the image that is shown where
// animations are not. Of a file that is cut off or damaged within its pixels, the rows before that
// and then black, as browsers show it; of an interlaced one, blocks. REQUIRES: the header is sound
// and its size within limits. InvalidArgument if it is damaged before its pixels;
// ResourceExhausted, or the exception of an allocation, if memory runs out; nothing leaks then.
absl::StatusOr<DecodedImage> DecodePng(std::string_view bytes);

}  // namespace vision

#endif  // DUET_VISION_PNG_DECODER_H_
