// Decodes images, within limits that are checked on the header, before anything is decoded.
//
// "Upright" means what an annotator sees. Chromium turns a JPEG by its EXIF orientation and a PNG
// by an eXIf chunk that comes before the pixels; it ignores one that comes later, and WebP's
// (measured with Chromium 156). So does this. TIFF, which browsers don't show, is turned by its
// Orientation tag. Of an animation it is the first frame.
#ifndef DUET_VISION_IMAGE_CODEC_H_
#define DUET_VISION_IMAGE_CODEC_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vision/decoded_image.h"
#include "vision/geometry.h"

namespace vision {

struct ImageLimits {
  // Bytes of the encoded image.
  std::int64_t max_bytes = 64 << 20;
  // Width × height; 100 megapixels decode to 300 MB.
  std::int64_t max_pixels = 100'000'000;
};

// What an image's header says.
struct ImageHeader {
  // Upright, in pixels.
  Size size;
  // "jpeg", "png", "webp", "gif", "bmp", "tiff"
  const char* format = "";
  // EXIF's numbers: 1 upright, 3 upside down, 6 and 8 a quarter off, 2, 4, 5, 7 mirrored as well.
  int orientation = 1;
  // Bytes that a whole file has at least; 0 if the header doesn't say (all but BMP without runs).
  std::size_t whole_size = 0;
};

// InvalidArgument, naming what was found, if `bytes` is none of the six formats, is cut off inside
// its header or exceeds a limit. What is cut off behind its header is accepted where browsers show
// it, which is all but WebP and TIFF.
absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits);

// Decodes to 8-bit BGR (CV_8UC3), upright, as cv2.imread(IMREAD_COLOR) does: grey is replicated,
// alpha dropped, 16 bits reduced to 8. What is cut off or damaged is decoded as far as browsers
// show it, and says so (DecodedImage::damage). InvalidArgument for what ReadImageHeader refuses and
// for damage that browsers show nothing of, ResourceExhausted without memory. Thread-safe.
absl::StatusOr<DecodedImage> DecodeImage(std::string_view bytes, const ImageLimits& limits);

}  // namespace vision

#endif  // DUET_VISION_IMAGE_CODEC_H_
