// A mask's two run-length codes: COCO's compressed string (column-major; what pycocotools and every
// COCO tool reads) and plain row-major runs (what a brush region of Label Studio is made from).
// Both: lengths of background and foreground in turn, beginning with background, which may be 0;
// they sum to width × height.
#ifndef DUET_VISION_MASK_RLE_H_
#define DUET_VISION_MASK_RLE_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace vision {

// Equal to pycocotools.mask.encode's `counts`, byte by byte.
std::string EncodeCocoRle(const Mask& mask);

// InvalidArgument if `size` is empty or above kMaxMaskPixels, if `counts` has other characters,
// negative or overlong runs, or doesn't sum to the size; for more than kMaxMaskSpans spans too.
absl::StatusOr<Mask> DecodeCocoRle(Size size, std::string_view counts);

std::vector<std::uint32_t> EncodeRowRuns(const Mask& mask);

// InvalidArgument as above.
absl::StatusOr<Mask> DecodeRowRuns(Size size, absl::Span<const std::uint32_t> runs);

// What a decoder accepts: a code of a few bytes may stand for a very large mask.
inline constexpr std::int64_t kMaxMaskPixels = 400'000'000;
inline constexpr std::size_t kMaxMaskSpans = std::size_t{1} << 23;

}  // namespace vision

#endif  // DUET_VISION_MASK_RLE_H_
