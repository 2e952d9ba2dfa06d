// The classes of the demo: ten flat shapes, each an outline in a unit frame.
#ifndef DUET_TRAINER_SCENES_SHAPE_H_
#define DUET_TRAINER_SCENES_SHAPE_H_

#include <opencv2/core/types.hpp>
#include <string>
#include <vector>

namespace trainer {

// The value is the class id of the detector.
enum class Shape {
  kCircle,
  kSquare,
  kTriangle,
  kStar,
  kRing,
  kCross,
  kHexagon,
  kHeart,
  kCrescent,
  kArrow
};

inline constexpr int kShapeCount = 10;

// In class id order: "circle", "square", …
const std::vector<std::string>& ShapeNames();

// Closed outlines about the origin, inside the unit circle, y down. A second outline is a hole (the
// ring's).
std::vector<std::vector<cv::Point2d>> OutlinesOf(Shape shape);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_SHAPE_H_
