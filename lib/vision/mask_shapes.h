// Shapes that stand for a mask: polygons around it, an ellipse, a point inside of it.
//
// Coordinates are those of mask.h: polygons run along the edges between pixels, not through pixel
// centres, so the polygon of a single pixel is its unit square, and filling an unsimplified polygon
// (pixels whose centre is inside) gives the very mask back. cv::findContours runs through the
// centres of border pixels and is half a pixel smaller.
#ifndef DUET_VISION_MASK_SHAPES_H_
#define DUET_VISION_MASK_SHAPES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace vision {

// Closed; the first point is not repeated. At least 3 points.
using Ring = std::vector<Point>;

// One connected part of a mask; pixels that touch at a corner are connected. Rings don't cross, but
// they may touch themselves at corners: fill them by the even-odd rule.
struct Polygon {
  Ring outer;               // clockwise on screen
  std::vector<Ring> holes;  // counter-clockwise
  // Pixels inside of the outer ring before simplification, holes included.
  std::int64_t outer_area_px = 0;
};

struct PolygonOptions {
  // Douglas-Peucker: how far, in pixels, an outline may move. 0 keeps every corner. What shrinks to
  // less than three points is dropped.
  double tolerance_px = 0;
  // Outer rings and holes around fewer pixels are dropped.
  std::int64_t min_area_px = 0;
};

// In the order of their topmost, then leftmost points.
std::vector<Polygon> ToPolygons(const Mask& mask, const PolygonOptions& options = {});

// The pixels whose centres are inside of an odd number of rings. Parts outside of `size` are cut
// off.
Mask MaskFromRings(Size size, const std::vector<Ring>& rings);

struct Ellipse {
  Point center;
  float radius_x = 0;  // along its own first axis; ≥ radius_y > 0
  float radius_y = 0;
  // Radians from the x axis to the first axis, clockwise on screen (y down), in (-π/2, π/2].
  float angle = 0;
};

// The ellipse with the mask's area moments up to the second. None for an empty mask.
std::optional<Ellipse> ToEllipse(const Mask& mask);

// The pixels whose centres are inside of the ellipse or on it. Parts outside of `size` are cut off;
// none if a radius is not positive.
Mask MaskFromEllipse(Size size, const Ellipse& ellipse);

// The smallest upright box around the ellipse.
Box BoundingBox(const Ellipse& ellipse);

// The centre of the foreground pixel that is furthest from all background; what is beyond the
// image's border counts as background. If a side has more than 512 pixels, the distance may fall
// short of the largest one by a 512th of the side. None for an empty mask.
std::optional<Point> InnermostPoint(const Mask& mask);

}  // namespace vision

#endif  // DUET_VISION_MASK_SHAPES_H_
