// GIF through giflib: OpenCV 4.6 reads none.
#ifndef DUET_VISION_GIF_DECODER_H_
#define DUET_VISION_GIF_DECODER_H_

#include <absl/status/statusor.h>

#include <string_view>

#include "vision/decoded_image.h"
#include "vision/geometry.h"

namespace vision {

// The first frame on a canvas of `canvas` pixels, with the colours of Pillow's convert("RGB"): a
// transparent pixel has the colour that its index has in the palette, and what the frame does not
// cover has the transparent index's colour, or that of index 0. Without a palette an index is a
// grey value. Of a file that is cut off, the rows that are there. REQUIRES: the header is sound,
// the canvas holds the first frame and is within limits. InvalidArgument for a damaged file without
// a first frame; ResourceExhausted, or the exception of an allocation, if memory runs out; nothing
// leaks then.
absl::StatusOr<DecodedImage> DecodeGif(std::string_view bytes, Size canvas);

}  // namespace vision

#endif  // DUET_VISION_GIF_DECODER_H_
