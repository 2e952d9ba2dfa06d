// Two bytes of width, two of height, then the string. What decodes must encode to the same mask
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "vision/mask_rle.h"
#include "vision/mask_shapes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const vision::Size image{data[0] | data[1] << 8, data[2] | data[3] << 8};
  const std::string_view counts(reinterpret_cast<const char*>(data) + 4, size - 4);
  const auto mask = vision::DecodeCocoRle(image, counts);
  // Polygons of noise are slow and test nothing more.
  if (!mask.ok() || mask->spans.size() > 10000) return 0;
  const auto again = vision::DecodeCocoRle(image, vision::EncodeCocoRle(*mask));
  if (!again.ok() || *again != *mask) std::abort();
  vision::ToPolygons(*mask, {.tolerance_px = 1});
  return 0;
}
