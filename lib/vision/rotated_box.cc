#include "vision/rotated_box.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace vision {
namespace {

constexpr double kNoArea = 1e-14;

struct Vertex {
  double x, y;
};

// A convex polygon; clipping a rectangle with another one leaves at most eight corners.
struct ConvexPolygon {
  std::array<Vertex, 8> vertices;
  int size = 0;
  void Add(const Vertex& v) {
    if (size < static_cast<int>(vertices.size())) vertices[size++] = v;
  }
};

// Relative to (x, y), so that far-away boxes lose no digits.
ConvexPolygon PolygonOf(const RotatedBox& box, double x, double y) {
  const double cos = std::cos(box.angle), sin = std::sin(box.angle);
  const double half_width = box.width / 2.0, half_height = box.height / 2.0;
  ConvexPolygon polygon;
  constexpr double kSigns[4][2] = {{-1, -1}, {1, -1}, {1, 1}, {-1, 1}};
  for (const auto& [sx, sy] : kSigns) {
    const double along = sx * half_width, across = sy * half_height;
    polygon.Add({box.center.x - x + along * cos - across * sin,
                 box.center.y - y + along * sin + across * cos});
  }
  return polygon;
}

// > 0 if `v` is at the inner side of the edge from p to q of a clockwise (y down) polygon.
double Side(const Vertex& p, const Vertex& q, const Vertex& v) {
  return (q.x - p.x) * (v.y - p.y) - (q.y - p.y) * (v.x - p.x);
}

// Sutherland-Hodgman: what of `polygon` is at the inner side of the edge.
ConvexPolygon Clip(const ConvexPolygon& polygon, const Vertex& p, const Vertex& q) {
  ConvexPolygon inside;
  for (int i = 0; i < polygon.size; ++i) {
    const Vertex& a = polygon.vertices[i];
    const Vertex& b = polygon.vertices[(i + 1) % polygon.size];
    const double side_a = Side(p, q, a), side_b = Side(p, q, b);
    if (side_a >= 0) inside.Add(a);
    if ((side_a > 0 && side_b < 0) || (side_a < 0 && side_b > 0)) {
      const double t = side_a / (side_a - side_b);
      inside.Add({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
  }
  return inside;
}

double Area(const ConvexPolygon& polygon) {
  double twice = 0;
  for (int i = 0; i < polygon.size; ++i) {
    const Vertex& a = polygon.vertices[i];
    const Vertex& b = polygon.vertices[(i + 1) % polygon.size];
    twice += a.x * b.y - a.y * b.x;
  }
  return std::abs(twice) / 2;
}

}  // namespace

std::array<Point, 4> Corners(const RotatedBox& box) {
  const ConvexPolygon polygon = PolygonOf(box, 0, 0);
  std::array<Point, 4> corners;
  for (std::size_t i = 0; i < corners.size(); ++i) {
    corners[i] = {static_cast<float>(polygon.vertices[i].x),
                  static_cast<float>(polygon.vertices[i].y)};
  }
  return corners;
}

Box BoundingBox(const RotatedBox& box) {
  const std::array<Point, 4> corners = Corners(box);
  const auto [left, right] = std::minmax({corners[0].x, corners[1].x, corners[2].x, corners[3].x});
  const auto [top, bottom] = std::minmax({corners[0].y, corners[1].y, corners[2].y, corners[3].y});
  return {left, top, right, bottom};
}

double RotatedIou(const RotatedBox& a, const RotatedBox& b) {
  const double area_a = double{a.width} * a.height, area_b = double{b.width} * b.height;
  if (!(area_a >= kNoArea && area_b >= kNoArea)) return 0;
  const double dx = double{a.center.x} - b.center.x, dy = double{a.center.y} - b.center.y;
  const double reach = (std::hypot(a.width, a.height) + std::hypot(b.width, b.height)) / 2;
  if (!(dx * dx + dy * dy < reach * reach)) return 0;  // most pairs
  const double x = (double{a.center.x} + b.center.x) / 2;
  const double y = (double{a.center.y} + b.center.y) / 2;
  ConvexPolygon common = PolygonOf(a, x, y);
  const ConvexPolygon frame = PolygonOf(b, x, y);
  for (int i = 0; i < 4; ++i) {
    common = Clip(common, frame.vertices[i], frame.vertices[(i + 1) % 4]);
  }
  const double both = Area(common);
  return both / (area_a + area_b - both);
}

}  // namespace vision
