// Label Studio's brush format: the run-length code of rle-pack over the RGBA image of a mask
// (docs/formats.md).
//
// Written straight from the mask's spans: the RGBA image never exists. The bytes equal those of
// label-studio-sdk (label_studio_sdk/converter/brush.py, mask2rle); the reader takes whatever
// rle-pack may write.
#ifndef DUET_LABEL_STUDIO_BRUSH_RLE_H_
#define DUET_LABEL_STUDIO_BRUSH_RLE_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace label_studio {

// REQUIRES: `mask` has at least one pixel and fewer than 2^30.
std::vector<std::uint8_t> EncodeBrushRle(const vision::Mask& mask);

// `size` is not part of the format. A pixel is set where its alpha (fourth value) is not 0.
// InvalidArgument if the code is cut off, its length doesn't fit the size, or it has more than
// vision::kMaxMaskSpans spans. Allocates in proportion to the spans, not to the pixels.
absl::StatusOr<vision::Mask> DecodeBrushRle(absl::Span<const std::uint8_t> rle, vision::Size size);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_BRUSH_RLE_H_
