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

// Of legitimate outlines; each crossing takes 8 bytes.
constexpr std::int64_t kMaxCrossings = 30'000'000;

// Collects where an outline crosses the middles of the image's columns. pycocotools draws all
// points of the outline to find them; here each is computed, so that the work is that of the
// columns, however long a line is and wherever it runs.
class Crossings {
 public:
  // No outline with a shape crosses a column more often than a few times a pixel.
  explicit Crossings(Size size)
      : size_(size),
        limit_(std::min(std::int64_t{4} * size.width * size.height + 1'000'000, kMaxCrossings)) {}

  // Adds those of a line. False if these are more crossings than an image of this size may have.
  bool AddLine(GridPoint from, GridPoint to);

  std::int64_t limit() const { return limit_; }

  // The runs between crossings, column by column.
  absl::StatusOr<Mask> ToMask() &&;

 private:
  // Columns of which the middle lies between two neighbours on the grid: x and x + 1.
  struct Columns {
    std::int64_t begin = 0, end = 0;
  };
  static int MiddleOf(std::int64_t column) { return static_cast<int>(kFineness * column + 2); }
  // Those that a line from x_min to x_max crosses.
  Columns ColumnsBetween(int x_min, int x_max) const {
    const auto first = [](int x) {  // the first column whose middle isn't left of x
      return static_cast<std::int64_t>(std::ceil((x - 2) / kFineness));
    };
    Columns columns{std::max<std::int64_t>(0, first(x_min)),
                    std::min<std::int64_t>(size_.width, first(x_max))};
    columns.end = std::max(columns.begin, columns.end);
    return columns;
  }
  // `grid_y`: the smaller one of the two neighbours'.
  void Cross(std::int64_t column, int grid_y) {
    const double y = (grid_y + 0.5) / kFineness - 0.5;
    const double row = std::ceil(std::clamp(y, 0.0, static_cast<double>(size_.height)));
    at_.push_back(column * size_.height + static_cast<std::int64_t>(row));
  }
  void AddFlatLine(GridPoint from, GridPoint to, const Columns& columns);
  void AddSteepLine(GridPoint from, GridPoint to, const Columns& columns);

  const Size size_;
  const std::int64_t limit_;
  std::vector<std::int64_t> at_;  // pixels counted column by column
};

// The points of a line are computed from the end with the smaller coordinate, whichever end it
// begins at.
bool Crossings::AddLine(GridPoint from, GridPoint to) {
  const Columns columns = ColumnsBetween(std::min(from.x, to.x), std::max(from.x, to.x));
  if (columns.end - columns.begin > limit_ - static_cast<std::int64_t>(at_.size())) return false;
  if (std::abs(to.x - from.x) >= std::abs(to.y - from.y)) {
    if (from.x > to.x) std::swap(from, to);
    AddFlatLine(from, to, columns);
  } else {
    if (from.y > to.y) std::swap(from, to);
    AddSteepLine(from, to, columns);
  }
  return true;
}

// Has a point at each x.
void Crossings::AddFlatLine(GridPoint from, GridPoint to, const Columns& columns) {
  const double slope = static_cast<double>(to.y - from.y) / (to.x - from.x);
  const auto y_at = [&](int x) { return static_cast<int>(from.y + slope * (x - from.x) + 0.5); };
  for (std::int64_t column = columns.begin; column < columns.end; ++column) {
    const int x = MiddleOf(column);
    Cross(column, std::min(y_at(x), y_at(x + 1)));
  }
}

// Has a point at each y; x grows or shrinks with it.
void Crossings::AddSteepLine(GridPoint from, GridPoint to, const Columns& columns) {
  const int steps = to.y - from.y;
  const double slope = static_cast<double>(to.x - from.x) / steps;
  const auto x_at = [&](int step) { return static_cast<int>(from.x + slope * step + 0.5); };
  const bool grows = slope > 0;
  for (std::int64_t column = columns.begin; column < columns.end; ++column) {
    // The first step on the far side of the column's middle.
    const int x = MiddleOf(column);
    int before = 0, behind = steps;
    while (behind - before > 1) {
      const int step = before + (behind - before) / 2;
      ((x_at(step) > x) == grows ? behind : before) = step;
    }
    Cross(column, from.y + before);
  }
}

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
  // Whole numbers of the grid have 32 bits.
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
  for (std::size_t i = 0; i < points; ++i) {
    if (!crossings.AddLine(point(i), point(i + 1))) {
      return absl::InvalidArgumentError(
          absl::StrCat("a polygon whose outline crosses the columns of an image of ", size.width,
                       "x", size.height, " more than ", crossings.limit(), " times"));
    }
  }
  return std::move(crossings).ToMask();
}

}  // namespace vision
