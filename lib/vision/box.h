// How much two upright boxes overlap.
#ifndef DUET_VISION_BOX_H_
#define DUET_VISION_BOX_H_

#include <algorithm>

#include "vision/geometry.h"

namespace vision {

// Intersection over union: 0 if the boxes don't overlap. Of two boxes without area it is NaN, as in
// torchvision: no comparison with it holds.
inline float BoxIou(const Box& a, const Box& b) {
  const float width = std::max(0.0F, std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min));
  const float height = std::max(0.0F, std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min));
  const float intersection = width * height;
  return intersection / (a.width() * a.height() + b.width() * b.height() - intersection);
}

}  // namespace vision

#endif  // DUET_VISION_BOX_H_
