// Any bytes are an image or an InvalidArgument, and header and pixels agree on the size.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "vision/image_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Small, so that a flipped size costs no second of filling pixels.
  const vision::ImageLimits limits{.max_pixels = 1 << 16};
  const auto header = vision::ReadImageHeader(bytes, limits);
  const auto image = vision::DecodeImage(bytes, limits);
  for (const absl::Status& status : {header.status(), image.status()}) {
    if (!status.ok() && !absl::IsInvalidArgument(status)) std::abort();
  }
  if (!header.ok() && image.ok()) std::abort();
  if (image.ok() &&
      (image->pixels.cols != header->size.width || image->pixels.rows != header->size.height ||
       image->pixels.type() != CV_8UC3)) {
    std::abort();
  }
  return 0;
}
