#include "vision/mask_shapes.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <utility>

namespace vision {
namespace {

constexpr std::int32_t kNone = -1;

// Where the outline turns. An outline has as many horizontal as vertical edges, and every corner is
// the end of one of each. Where two foreground pixels touch at a corner only, two corners coincide.
struct Corner {
  std::int32_t x = 0;
  std::int32_t y = 0;
  std::int32_t across = kNone;     // index of the corner at the horizontal edge's other end
  std::int32_t along = kNone;      // … at the vertical edge's other end
  std::int32_t enclosing = kNone;  // if foreground is above its horizontal edge: the corner on top
                                   // of the vertical edge at the left end of that foreground
  bool foreground_below = false;   // its horizontal edge is the top of something
  bool visited = false;
};

// Finds all corners in one sweep from top to bottom over the lines between the rows.
class CornerSweep {
 public:
  explicit CornerSweep(const Mask& mask)
      : mask_(mask), top_of_edge_(static_cast<std::size_t>(mask.size.width) + 1, kNone) {}

  std::vector<Corner> Run() && {
    const Span* const end = mask_.spans.data() + mask_.spans.size();
    const Span* above = mask_.spans.data();
    const Span* above_end = above;
    while (above != end || above_end != above) {
      const std::int32_t y = above_end != above ? above->y + 1 : above->y;
      const Span* below = above_end;
      const Span* below_end = below;
      while (below_end != end && below_end->y == y) ++below_end;
      SweepLine(above, above_end, below, below_end, y);
      above = below;
      above_end = below_end;
    }
    return std::move(corners_);
  }

 private:
  // The line between the rows y - 1 and y.
  void SweepLine(const Span* above, const Span* above_end, const Span* below, const Span* below_end,
                 std::int32_t y) {
    bool in_above = false;
    bool in_below = false;
    std::int32_t enclosing = kNone;
    std::int32_t open = kNone;  // the left end of a horizontal edge that hasn't ended yet
    const auto next = [](const Span* span, const Span* end, bool inside) {
      if (span == end) return std::numeric_limits<std::int32_t>::max();
      return inside ? span->x_end : span->x_begin;
    };
    const auto add_corner = [&](std::int32_t x) {
      const auto index = static_cast<std::int32_t>(corners_.size());
      Corner& corner = corners_.emplace_back();
      corner.x = x;
      corner.y = y;
      corner.foreground_below = in_below;
      corner.enclosing = enclosing;
      if (open == kNone) {
        open = index;
      } else {
        corner.across = open;
        corners_[static_cast<std::size_t>(open)].across = index;
        open = kNone;
      }
      return index;
    };
    const auto end_vertical_edge = [&](std::int32_t corner, std::int32_t top) {
      corners_[static_cast<std::size_t>(corner)].along = top;
      corners_[static_cast<std::size_t>(top)].along = corner;
    };

    while (above != above_end || below != below_end) {
      const std::int32_t a = next(above, above_end, in_above);
      const std::int32_t b = next(below, below_end, in_below);
      const std::int32_t x = std::min(a, b);
      std::int32_t& top = top_of_edge_[static_cast<std::size_t>(x)];
      const std::int32_t top_above = top;
      const bool from_above = a == x;
      const bool to_below = b == x;
      const bool differed = in_above != in_below;
      const bool above_began = from_above && !in_above;
      if (from_above) {
        above += in_above;
        in_above = !in_above;
      }
      if (to_below) {
        below += in_below;
        in_below = !in_below;
      }
      if (above_began) enclosing = top_above;

      if (from_above && to_below) {
        // Foreground on the same side of both edges: one edge that goes on.
        if (!differed) continue;
        // Foreground on opposite sides: two corners in one point. The foreground is connected
        // through it, so the outline turns away from the foreground: it joins the edges around each
        // of the two background pixels.
        const std::int32_t left = add_corner(x);
        const std::int32_t right = add_corner(x);
        end_vertical_edge(above_began ? left : right, top_above);
        top = above_began ? right : left;
      } else if (from_above) {
        end_vertical_edge(add_corner(x), top_above);
      } else {
        top = add_corner(x);
      }
    }
  }

  const Mask& mask_;
  std::vector<Corner> corners_;
  std::vector<std::int32_t>
      top_of_edge_;  // by x: the corner on top of the vertical edge beside row y - 1
};

// Follows an outline, horizontal and vertical edges in turn, beginning with the horizontal one at
// `start`.
std::vector<cv::Point> Trace(std::vector<Corner>& corners, std::size_t start,
                             std::vector<std::int32_t>& ring_of_corner, std::int32_t ring) {
  std::vector<cv::Point> points;
  auto index = static_cast<std::int32_t>(start);
  bool horizontal = true;
  do {
    Corner& corner = corners[static_cast<std::size_t>(index)];
    corner.visited = true;
    ring_of_corner[static_cast<std::size_t>(index)] = ring;
    points.emplace_back(corner.x, corner.y);
    index = horizontal ? corner.across : corner.along;
    horizontal = !horizontal;
  } while (static_cast<std::size_t>(index) != start);
  return points;
}

// In pixels; positive if the ring runs clockwise on screen.
std::int64_t SignedArea(const std::vector<cv::Point>& ring) {
  std::int64_t twice = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const cv::Point& a = ring[i];
    const cv::Point& b = ring[i + 1 < ring.size() ? i + 1 : 0];
    twice += std::int64_t{a.x} * b.y - std::int64_t{b.x} * a.y;
  }
  return twice / 2;
}

Ring Simplify(const std::vector<cv::Point>& corners, double tolerance_px) {
  std::vector<cv::Point> kept;
  if (tolerance_px > 0) {
    cv::approxPolyDP(corners, kept, tolerance_px, /*closed=*/true);
  } else {
    kept = corners;
  }
  Ring ring;
  ring.reserve(kept.size());
  for (const cv::Point& point : kept) {
    ring.push_back({static_cast<float>(point.x), static_cast<float>(point.y)});
  }
  return ring;
}

// The foreground's pixels inside of a shrunken grid: cell (x, y) stands for `step` × `step` pixels
// and is foreground if all of them are. One more row and column of background on every side.
cv::Mat FullCells(const Mask& mask, const Box& box, int step) {
  const auto left = static_cast<int>(box.x_min);
  const auto top = static_cast<int>(box.y_min);
  const int columns = (static_cast<int>(box.width()) + step - 1) / step;
  const int rows = (static_cast<int>(box.height()) + step - 1) / step;
  // In how many of its pixel rows a cell is full.
  cv::Mat full_rows = cv::Mat::zeros(rows + 2, columns + 2, CV_16UC1);
  for (const Span& span : mask.spans) {
    auto* row = full_rows.ptr<std::uint16_t>((span.y - top) / step + 1) + 1;
    const int begin = (span.x_begin - left + step - 1) / step;
    const int end = (span.x_end - left) / step;
    for (int x = begin; x < end; ++x) ++row[x];
  }
  return full_rows == step;
}

}  // namespace

std::vector<Polygon> ToPolygons(const Mask& mask, const PolygonOptions& options) {
  std::vector<Corner> corners = CornerSweep(mask).Run();
  std::vector<std::int32_t> ring_of_corner(corners.size(), kNone);
  std::vector<Polygon> polygons;
  std::vector<std::size_t> polygon_of_ring;
  // Corners come in the order of y, then x, so the first unvisited one is its ring's topmost and
  // leftmost, and a hole comes after the ring around it.
  for (std::size_t i = 0; i < corners.size(); ++i) {
    if (corners[i].visited) continue;
    const bool is_outer = corners[i].foreground_below;
    // Foreground on the right hand: left to right along an outer ring's top, right to left along a
    // hole's.
    const auto start = is_outer ? i : static_cast<std::size_t>(corners[i].across);
    const auto ring = static_cast<std::int32_t>(polygon_of_ring.size());
    const std::vector<cv::Point> points = Trace(corners, start, ring_of_corner, ring);
    const std::int64_t area = SignedArea(points);
    if (is_outer) {
      polygon_of_ring.push_back(polygons.size());
      Polygon& polygon = polygons.emplace_back();
      polygon.outer_area_px = area;
      if (area >= options.min_area_px) polygon.outer = Simplify(points, options.tolerance_px);
    } else {
      const auto neighbour = static_cast<std::size_t>(corners[i].enclosing);
      polygon_of_ring.push_back(
          polygon_of_ring[static_cast<std::size_t>(ring_of_corner[neighbour])]);
      if (-area < options.min_area_px) continue;
      Ring hole = Simplify(points, options.tolerance_px);
      if (hole.size() >= 3) polygons[polygon_of_ring.back()].holes.push_back(std::move(hole));
    }
  }
  std::erase_if(polygons, [](const Polygon& polygon) { return polygon.outer.size() < 3; });
  return polygons;
}

Mask MaskFromRings(Size size, const std::vector<Ring>& rings) {
  // Where the rings cross the line through the centres of a row's pixels.
  std::vector<std::vector<double>> crossings(static_cast<std::size_t>(size.height));
  for (const Ring& ring : rings) {
    for (std::size_t i = 0; i < ring.size(); ++i) {
      Point a = ring[i];
      Point b = ring[i + 1 < ring.size() ? i + 1 : 0];
      if (a.y > b.y) std::swap(a, b);
      // Rows with a.y <= y + 0.5 < b.y.
      const double first = std::max(std::ceil(a.y - 0.5), 0.0);
      const double last = std::min(std::ceil(b.y - 0.5), static_cast<double>(size.height));
      for (double y = first; y < last; ++y) {
        const double fraction = (y + 0.5 - a.y) / (static_cast<double>(b.y) - a.y);
        crossings[static_cast<std::size_t>(y)].push_back(
            a.x + fraction * (static_cast<double>(b.x) - a.x));
      }
    }
  }

  Mask mask{.size = size, .spans = {}};
  for (std::int32_t y = 0; y < size.height; ++y) {
    std::vector<double>& row = crossings[static_cast<std::size_t>(y)];
    std::sort(row.begin(), row.end());
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      const auto column = [&size](double x) {
        return static_cast<std::int32_t>(
            std::clamp(std::ceil(x - 0.5), 0.0, static_cast<double>(size.width)));
      };
      const Span span{y, column(row[i]), column(row[i + 1])};
      if (span.x_begin >= span.x_end) continue;
      if (!mask.spans.empty() && mask.spans.back().y == y &&
          mask.spans.back().x_end == span.x_begin) {
        mask.spans.back().x_end = span.x_end;
      } else {
        mask.spans.push_back(span);
      }
    }
  }
  return mask;
}

std::optional<Ellipse> ToEllipse(const Mask& mask) {
  if (mask.spans.empty()) return std::nullopt;
  // Integrals over the pixels' squares, about the box's centre: far from it, x² would swallow the
  // variance's digits.
  const Box box = TightBox(mask);
  const double origin_x = (box.x_min + box.x_max) / 2.0;
  const double origin_y = (box.y_min + box.y_max) / 2.0;
  double area = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0, sum_yy = 0;
  for (const Span& span : mask.spans) {
    const double length = span.x_end - span.x_begin;
    const double x = (span.x_begin + span.x_end) / 2.0 - origin_x;
    const double y = span.y + 0.5 - origin_y;
    area += length;
    sum_x += length * x;
    sum_y += length * y;
    sum_xy += length * x * y;
    sum_xx += length * (x * x + length * length / 12);
    sum_yy += length * (y * y + 1.0 / 12);
  }
  const double mean_x = sum_x / area;
  const double mean_y = sum_y / area;
  const double xx = sum_xx / area - mean_x * mean_x;
  const double xy = sum_xy / area - mean_x * mean_y;
  const double yy = sum_yy / area - mean_y * mean_y;

  // The principal axes. A solid ellipse's variance along an axis is a quarter of its squared
  // radius.
  const double half_trace = (xx + yy) / 2;
  const double spread = std::hypot((xx - yy) / 2, xy);
  double angle = std::atan2(2 * xy, xx - yy) / 2;
  if (angle <= -std::numbers::pi / 2) angle += std::numbers::pi;
  return Ellipse{
      .center = {static_cast<float>(origin_x + mean_x), static_cast<float>(origin_y + mean_y)},
      .radius_x = static_cast<float>(2 * std::sqrt(half_trace + spread)),
      .radius_y = static_cast<float>(2 * std::sqrt(std::max(half_trace - spread, 1.0 / 12))),
      .angle = static_cast<float>(angle)};
}

Mask MaskFromEllipse(Size size, const Ellipse& ellipse) {
  Mask mask{.size = size, .spans = {}};
  const double radius_x = ellipse.radius_x;
  const double radius_y = ellipse.radius_y;
  if (!(radius_x > 0 && radius_y > 0)) return mask;
  // Inside is where xx·dx² + 2·xy·dx·dy + yy·dy² ≤ 1; for each row that is a quadratic in dx.
  const double cosine = std::cos(ellipse.angle);
  const double sine = std::sin(ellipse.angle);
  const double of_x = 1 / (radius_x * radius_x);
  const double of_y = 1 / (radius_y * radius_y);
  const double xx = cosine * cosine * of_x + sine * sine * of_y;
  const double xy = cosine * sine * (of_x - of_y);
  const double yy = sine * sine * of_x + cosine * cosine * of_y;
  const auto column = [&size](double x) {
    return static_cast<std::int32_t>(std::clamp(x, 0.0, static_cast<double>(size.width)));
  };
  const Box box = BoundingBox(ellipse);
  const auto height = static_cast<float>(size.height);
  const auto first = static_cast<std::int32_t>(std::clamp(std::floor(box.y_min), 0.0F, height));
  const auto last = static_cast<std::int32_t>(std::clamp(std::ceil(box.y_max), 0.0F, height));
  for (std::int32_t y = first; y < last; ++y) {
    const double dy = y + 0.5 - ellipse.center.y;
    const double root = (xy * dy) * (xy * dy) - xx * (yy * dy * dy - 1);
    if (!(root >= 0)) continue;
    const double middle = ellipse.center.x - xy * dy / xx;
    const double half = std::sqrt(root) / xx;
    const Span span{y, column(std::ceil(middle - half - 0.5)),
                    column(std::floor(middle + half - 0.5) + 1)};
    if (span.x_begin < span.x_end) mask.spans.push_back(span);
  }
  return mask;
}

Box BoundingBox(const Ellipse& ellipse) {
  const double cosine = std::cos(ellipse.angle);
  const double sine = std::sin(ellipse.angle);
  const double reach_x = std::hypot(ellipse.radius_x * cosine, ellipse.radius_y * sine);
  const double reach_y = std::hypot(ellipse.radius_x * sine, ellipse.radius_y * cosine);
  return {static_cast<float>(ellipse.center.x - reach_x),
          static_cast<float>(ellipse.center.y - reach_y),
          static_cast<float>(ellipse.center.x + reach_x),
          static_cast<float>(ellipse.center.y + reach_y)};
}

std::optional<Point> InnermostPoint(const Mask& mask) {
  if (mask.spans.empty()) return std::nullopt;
  constexpr int kGrid = 512;
  const Box box = TightBox(mask);
  const int side = static_cast<int>(std::max(box.width(), box.height()));
  // A coarse grid misses what is thinner than its cells; then a finer one.
  for (int step = (side + kGrid - 1) / kGrid;; step = std::max(step / 2, 1)) {
    const cv::Mat cells = FullCells(mask, box, step);
    cv::Mat distance;
    cv::distanceTransform(cells, distance, cv::DIST_L2, cv::DIST_MASK_PRECISE);
    double deepest = 0;
    cv::Point at;
    cv::minMaxLoc(distance, nullptr, &deepest, nullptr, &at);
    if (deepest == 0) continue;
    // The cell's middle pixel; cells begin at 1 in the padded grid.
    const auto middle = [step](float origin, int cell) {
      return origin + static_cast<float>((cell - 1) * step + step / 2) + 0.5f;
    };
    return Point{middle(box.x_min, at.x), middle(box.y_min, at.y)};
  }
}

}  // namespace vision
