// The mask of a polygon as COCO's tools see it.
//
// pycocotools decides in its own way which pixels a polygon covers: it draws the outline on a grid
// that is five times as fine as the image, and takes a pixel of a column from where the outline
// crosses the column's middle. That differs from "the pixel's centre is inside" (mask_shapes.h) by
// pixels along the outline. Whoever compares with COCO's numbers needs the same pixels.
#ifndef DUET_VISION_COCO_POLYGON_H_
#define DUET_VISION_COCO_POLYGON_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace vision {

// Equal to pycocotools.mask.decode(frPyObjects([polygon], height, width)), pixel by pixel. The
// parts that lie outside of the image are cut off as it does.
//
// `coordinates`: x and y in turn, pixels; closed, the first point is not repeated. InvalidArgument
// if there are fewer than 3 points, an odd number of coordinates, one that is not finite or lies
// further outside of the image than ten times its longer side, or if `size` is empty or above
// kMaxMaskPixels (mask_rle.h).
absl::StatusOr<Mask> MaskFromCocoPolygon(Size size, absl::Span<const double> coordinates);

}  // namespace vision

#endif  // DUET_VISION_COCO_POLYGON_H_
