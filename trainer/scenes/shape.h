// Flat shapes, each an outline in a unit frame: the ten classes of the demo, and one that its
// models have never seen, to show how a model learns something new.
#ifndef DUET_TRAINER_SCENES_SHAPE_H_
#define DUET_TRAINER_SCENES_SHAPE_H_

#include <opencv2/core/types.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// The first kShapeCount are the demo's classes; the value is the class id of its detector.
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
  kArrow,
  kDrop,
};

inline constexpr int kShapeCount = 10;

// The demo's classes in the order of their ids: "circle", "square", …
const std::vector<std::string>& ShapeNames();

// Of any shape.
const std::string& NameOf(Shape shape);
// None if no shape is called that.
std::optional<Shape> ShapeOf(std::string_view name);

// Closed outlines about the origin, inside the unit circle, y down. A second outline is a hole (the
// ring's).
std::vector<std::vector<cv::Point2d>> OutlinesOf(Shape shape);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_SHAPE_H_
