// Intersection over union of two boxes: 0 if they don't overlap or if both are empty.
#ifndef DUET_TRAINER_EVALUATE_BOX_IOU_H_
#define DUET_TRAINER_EVALUATE_BOX_IOU_H_

#include <algorithm>

#include "vision/geometry.h"

namespace trainer {

inline float BoxIou(const vision::Box& a, const vision::Box& b) {
  const float width = std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min);
  const float height = std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min);
  if (width <= 0 || height <= 0) return 0;
  const float intersection = width * height;
  return intersection / (a.width() * a.height() + b.width() * b.height() - intersection);
}

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_BOX_IOU_H_
