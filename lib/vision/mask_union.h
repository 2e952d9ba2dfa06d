// The foreground of several masks together.
#ifndef DUET_VISION_MASK_UNION_H_
#define DUET_VISION_MASK_UNION_H_

#include <absl/types/span.h>

#include "vision/mask.h"

namespace vision {

// The pixels that are foreground in any of `masks`. REQUIRES: there is at least one, and all have
// the same size.
Mask Union(absl::Span<const Mask> masks);

}  // namespace vision

#endif  // DUET_VISION_MASK_UNION_H_
