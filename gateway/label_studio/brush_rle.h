// Label Studio's brush format: the run-length code of rle-pack over the RGBA picture of a mask
// (docs/formats.md).
//
// Written straight from the mask's runs: the RGBA picture never exists. The bytes equal those of
// label-studio-sdk (label_studio_sdk/converter/brush.py, mask2rle); the reader takes whatever
// rle-pack may write.
#ifndef DUET_GATEWAY_LABEL_STUDIO_BRUSH_RLE_H_
#define DUET_GATEWAY_LABEL_STUDIO_BRUSH_RLE_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <vector>

#include "gateway/label_studio/mask.h"

namespace gateway::label_studio {

// REQUIRES: `mask` is valid, not of size zero, and has fewer than 2^30 pixels.
std::vector<std::uint8_t> EncodeBrushRle(const RowRuns& mask);

// `size` is not part of the format. A pixel is set where its alpha (fourth value) is not 0.
// InvalidArgument if the code is cut off or its length doesn't fit the size. Allocates in
// proportion to the runs, not to the pixels.
absl::StatusOr<RowRuns> DecodeBrushRle(absl::Span<const std::uint8_t> rle, vision::Size size);

}  // namespace gateway::label_studio

#endif  // DUET_GATEWAY_LABEL_STUDIO_BRUSH_RLE_H_
