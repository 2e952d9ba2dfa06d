// Rotated rectangles: corners, the box around one, how much two overlap.
#ifndef DUET_VISION_ROTATED_BOX_H_
#define DUET_VISION_ROTATED_BOX_H_

#include <array>

#include "vision/geometry.h"

namespace vision {

// A rectangle turned about its centre.
struct RotatedBox {
  Point center;
  // Extent along the box's own x axis before turning, and across it.
  float width = 0;
  float height = 0;
  // Radians, clockwise as seen on screen (y down); 0 leaves the sides parallel to the image's.
  float angle = 0;
  friend bool operator==(const RotatedBox&, const RotatedBox&) = default;
};

// Clockwise on screen: what was top-left before turning, top-right, bottom-right, bottom-left.
std::array<Point, 4> Corners(const RotatedBox& box);

// The smallest upright box around it.
Box BoundingBox(const RotatedBox& box);

// Intersection over union, by clipping one polygon with the other in double. 0 if either has no
// area: width * height of less than 1e-14, as in mmcv, or NaN.
double RotatedIou(const RotatedBox& a, const RotatedBox& b);

}  // namespace vision

#endif  // DUET_VISION_ROTATED_BOX_H_
