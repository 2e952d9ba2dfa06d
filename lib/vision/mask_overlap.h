// How much two masks have in common.
#ifndef DUET_VISION_MASK_OVERLAP_H_
#define DUET_VISION_MASK_OVERLAP_H_

#include <cstdint>

#include "vision/mask.h"

namespace vision {

// The number of pixels that are foreground in both. REQUIRES: both have the same size.
std::int64_t IntersectionArea(const Mask& a, const Mask& b);

}  // namespace vision

#endif  // DUET_VISION_MASK_OVERLAP_H_
