// PNG through libpng itself: OpenCV's wrapper lets it print its warnings to stderr.
#ifndef DUET_VISION_PNG_DECODER_H_
#define DUET_VISION_PNG_DECODER_H_

#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>
#include <string_view>

namespace vision {

// 8-bit BGR as stored (orientation not applied), the same pixels as cv::imdecode's: the high byte
// of 16 bits, alpha dropped and not blended. REQUIRES: the header is sound and its size within
// limits. InvalidArgument for damaged data; ResourceExhausted, or the exception of an allocation,
// if memory runs out; nothing leaks then.
absl::StatusOr<cv::Mat> DecodePng(std::string_view bytes);

}  // namespace vision

#endif  // DUET_VISION_PNG_DECODER_H_
