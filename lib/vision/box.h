// Upright boxes: what of them is in an image, and how much two overlap.
#ifndef DUET_VISION_BOX_H_
#define DUET_VISION_BOX_H_

#include <algorithm>

#include "vision/geometry.h"

namespace vision {

// The part of `box` inside of an image of `size`; without width or height if there is none.
inline Box Clip(const Box& box, Size size) {
  const auto width = static_cast<float>(size.width);
  const auto height = static_cast<float>(size.height);
  return {std::clamp(box.x_min, 0.0F, width), std::clamp(box.y_min, 0.0F, height),
          std::clamp(box.x_max, 0.0F, width), std::clamp(box.y_max, 0.0F, height)};
}

// Width times height, in double: what COCO's evaluation compares with its bounds.
inline double BoxArea(const Box& box) {
  return (double{box.x_max} - box.x_min) * (double{box.y_max} - box.y_min);
}

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
