// JPEG through libjpeg-turbo itself: OpenCV's wrapper hides that a file is cut off.
#ifndef DUET_VISION_JPEG_DECODER_H_
#define DUET_VISION_JPEG_DECODER_H_

#include <absl/status/statusor.h>

#include <string_view>

#include "vision/decoded_image.h"

namespace vision {

// 8-bit BGR as stored (orientation not applied), the same pixels as cv::imdecode's. REQUIRES: the
// header is sound and its size within limits. Of a file that is cut off or damaged behind its
// header, what libjpeg-turbo makes of the rest, as browsers show it: sound blocks, then grey; a
// progressive one is blurred. InvalidArgument for more than 100 scans (which cost a full pass over
// the image each) and for what libjpeg-turbo doesn't support; ResourceExhausted, or the exception
// of an allocation, if memory runs out; nothing leaks then.
absl::StatusOr<DecodedImage> DecodeJpeg(std::string_view bytes);

}  // namespace vision

#endif  // DUET_VISION_JPEG_DECODER_H_
