// Masks as runs: what both services send and what brush, polygon, ellipse and keypoint regions are
// made from, without ever painting a picture.
#ifndef DUET_GATEWAY_LABEL_STUDIO_MASK_H_
#define DUET_GATEWAY_LABEL_STUDIO_MASK_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "vision/geometry.h"

namespace gateway::label_studio {

// Row-major lengths in pixels of 0 and 1 in turn, the first of 0 (may be 0), summing to width ×
// height: the same as duet.vision.v1.RowRuns.
struct RowRuns {
  vision::Size size;
  std::vector<std::uint32_t> counts;
};

// Checks counts that came from elsewhere. InvalidArgument if they don't sum to the size.
absl::StatusOr<RowRuns> MakeRowRuns(vision::Size size, absl::Span<const std::uint32_t> counts);

// From COCO's compressed, column-major string (duet.vision.v1.CocoRle). InvalidArgument if damaged.
absl::StatusOr<RowRuns> RowRunsFromCocoRle(vision::Size size, std::string_view counts);

// Pixels set.
std::int64_t Area(const RowRuns& mask);

}  // namespace gateway::label_studio

#endif  // DUET_GATEWAY_LABEL_STUDIO_MASK_H_
