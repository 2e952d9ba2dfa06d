#include "dataset/object_corners.h"

#include "vision/rotated_box.h"

namespace dataset {

std::vector<vision::Point> CornersOf(const Object& object) {
  if (object.rotated_box) {
    const auto corners = vision::Corners(*object.rotated_box);
    return {corners.begin(), corners.end()};
  }
  const vision::Box& box = object.box;
  return {{box.x_min, box.y_min},
          {box.x_max, box.y_min},
          {box.x_max, box.y_max},
          {box.x_min, box.y_max}};
}

}  // namespace dataset
