#include "vision/coco_polygon.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "vision/mask_rle.h"

namespace vision {
namespace {

constexpr double kFineness = 5;  // of the grid that outlines are drawn on

struct GridPoint {
  int x = 0;
  int y = 0;
};

// Collects where an outline crosses the middles of the image's columns.
class Crossings {
 public:
  explicit Crossings(Size size) : size_(size) {}

  // Points of the outline in order. Neighbours differ by at most one in x.
  void Add(GridPoint point) {
    if (has_last_ && point.x != last_.x) Cross(point);
    last_ = point;
    has_last_ = true;
  }

  // The runs between crossings, column by column.
  absl::StatusOr<Mask> ToMask() &&;

 private:
  void Cross(GridPoint point) {
    const double x = (std::min(point.x, last_.x) + 0.5) / kFineness - 0.5;
    if (std::floor(x) != x || x < 0 || x > size_.width - 1) return;
    double y = (std::min(point.y, last_.y) + 0.5) / kFineness - 0.5;
    y = std::ceil(std::clamp(y, 0.0, static_cast<double>(size_.height)));
    at_.push_back(static_cast<std::int64_t>(x) * size_.height + static_cast<std::int64_t>(y));
  }

  const Size size_;
  bool has_last_ = false;
  GridPoint last_;
  std::vector<std::int64_t> at_;  // pixels counted column by column
};

absl::StatusOr<Mask> Crossings::ToMask() && {
  std::sort(at_.begin(), at_.end());
  // From every crossing on, pixels are the opposite of what they were.
  std::vector<std::uint32_t> runs;
  std::int64_t before = 0;
  for (const std::int64_t at : at_) {
    runs.push_back(static_cast<std::uint32_t>(at - before));
    before = at;
  }
  runs.push_back(static_cast<std::uint32_t>(std::int64_t{size_.width} * size_.height - before));
  absl::StatusOr<Mask> columns = DecodeRowRuns({size_.height, size_.width}, runs);
  if (!columns.ok()) return columns;
  return Transpose(*columns);
}

// The grid's points on the line from `from` to `to`, both included, in this order. They are
// computed from the end with the smaller coordinate, whichever end the line begins at.
void DrawLine(GridPoint from, GridPoint to, Crossings& crossings) {
  const int dx = std::abs(to.x - from.x);
  const int dy = std::abs(to.y - from.y);
  if (dx == 0 && dy == 0) return;
  const bool along_x = dx >= dy;
  const bool flipped = along_x ? from.x > to.x : from.y > to.y;
  if (flipped) std::swap(from, to);
  const int steps = std::max(dx, dy);
  const double slope =
      along_x ? static_cast<double>(to.y - from.y) / dx : static_cast<double>(to.x - from.x) / dy;
  for (int step = 0; step <= steps; ++step) {
    const int t = flipped ? steps - step : step;
    if (along_x) {
      crossings.Add({from.x + t, static_cast<int>(from.y + slope * t + 0.5)});
    } else {
      crossings.Add({static_cast<int>(from.x + slope * t + 0.5), from.y + t});
    }
  }
}

absl::Status CheckPolygon(Size size, absl::Span<const double> coordinates) {
  if (size.width <= 0 || size.height <= 0 ||
      std::int64_t{size.width} * size.height > kMaxMaskPixels) {
    return absl::InvalidArgumentError(
        absl::StrCat("a polygon in an image of ", size.width, "x", size.height));
  }
  if (coordinates.size() < 6 || coordinates.size() % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a polygon of ", coordinates.size(),
                                                   " coordinates; needed: two a point, and at "
                                                   "least three points"));
  }
  // Drawing takes time in proportion to the outline's length.
  const double reach = 10.0 * std::max(size.width, size.height);
  for (const double coordinate : coordinates) {
    if (!(coordinate >= -reach && coordinate <= reach * 1.1)) {
      return absl::InvalidArgumentError(absl::StrCat("a polygon with a coordinate of ", coordinate,
                                                     " in an image of ", size.width, "x",
                                                     size.height));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Mask> MaskFromCocoPolygon(Size size, absl::Span<const double> coordinates) {
  if (absl::Status status = CheckPolygon(size, coordinates); !status.ok()) return status;
  // The conversion cuts towards zero, also below it: so does pycocotools.
  const auto grid = [](double coordinate) {
    return static_cast<int>(kFineness * coordinate + 0.5);
  };
  const std::size_t points = coordinates.size() / 2;
  const auto point = [&](std::size_t i) {
    return GridPoint{grid(coordinates[2 * (i % points)]), grid(coordinates[2 * (i % points) + 1])};
  };
  Crossings crossings(size);
  for (std::size_t i = 0; i < points; ++i) DrawLine(point(i), point(i + 1), crossings);
  return std::move(crossings).ToMask();
}

}  // namespace vision
