// The corners of an object's box, for formats that write four points.
#ifndef DUET_DATASET_OBJECT_CORNERS_H_
#define DUET_DATASET_OBJECT_CORNERS_H_

#include <vector>

#include "dataset/sample.h"
#include "vision/geometry.h"

namespace dataset {

// Four points in pixels of the image: of the turned box if there is one, else of the box, clockwise
// from its upper left.
std::vector<vision::Point> CornersOf(const Object& object);

}  // namespace dataset

#endif  // DUET_DATASET_OBJECT_CORNERS_H_
