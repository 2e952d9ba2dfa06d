// Two bytes of width, two of height, then the code. What decodes must encode to the same mask
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "label_studio/brush_rle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace ls = label_studio;
  if (size < 4) return 0;
  const vision::Size image{data[0] | data[1] << 8, data[2] | data[3] << 8};
  const auto mask = ls::DecodeBrushRle(absl::MakeConstSpan(data + 4, size - 4), image);
  if (!mask.ok()) return 0;
  const auto again = ls::DecodeBrushRle(ls::EncodeBrushRle(*mask), image);
  if (!again.ok() || *again != *mask) std::abort();
  return 0;
}
