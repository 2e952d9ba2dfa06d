#include "trainer/scenes/shape.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trainer {
namespace {

using Outline = std::vector<cv::Point2d>;

constexpr double kPi = std::numbers::pi;

// `corners` points on circles about the origin, the first at the top; every second one at `inner`
// if that is not 1.
Outline Regular(int corners, double inner = 1) {
  Outline outline;
  for (int i = 0; i < corners; ++i) {
    const double radius = i % 2 == 1 ? inner : 1;
    const double angle = 2 * kPi * i / corners - kPi / 2;
    outline.emplace_back(radius * std::cos(angle), radius * std::sin(angle));
  }
  return outline;
}

Outline Scaled(Outline outline, double factor) {
  for (cv::Point2d& point : outline) point *= factor;
  return outline;
}

Outline Heart() {
  Outline outline;
  for (int i = 0; i < 64; ++i) {
    const double t = 2 * kPi * i / 64;
    const double x = 16 * std::pow(std::sin(t), 3);
    const double y = 13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t);
    outline.emplace_back(x / 17.5, -(y + 2.5) / 17.5);
  }
  return outline;
}

// The unit disc without a disc of radius 0.8 whose centre is 0.55 to the right.
Outline Crescent() {
  constexpr double kRadius = 0.8;
  constexpr double kOffset = 0.55;
  // Where the two circles meet: x from x² + y² = 1 and (x - offset)² + y² = radius².
  const double meet_x = (1 + kOffset * kOffset - kRadius * kRadius) / (2 * kOffset);
  const double outer = std::acos(meet_x);
  const double inner = std::acos((meet_x - kOffset) / kRadius);
  Outline outline;
  for (int i = 0; i <= 48; ++i) {
    const double angle = outer + (2 * kPi - 2 * outer) * i / 48;
    outline.emplace_back(std::cos(angle), std::sin(angle));
  }
  for (int i = 1; i < 32; ++i) {
    const double angle = -inner - (2 * kPi - 2 * inner) * i / 32;
    outline.emplace_back(kOffset + kRadius * std::cos(angle), kRadius * std::sin(angle));
  }
  return outline;
}

// A disc of radius 0.62 with a tip at the top, from which two tangents lead to it.
Outline Drop() {
  constexpr double kRadius = 0.62;
  constexpr double kCentre = 1 - kRadius;  // below the origin
  // The angle at the disc's centre between the tip and where a tangent touches.
  const double touch = std::acos(kRadius / (1 + kCentre));
  Outline outline{{0, -1}};
  for (int i = 0; i <= 48; ++i) {
    const double angle = -kPi / 2 + touch + (2 * kPi - 2 * touch) * i / 48;
    outline.emplace_back(kRadius * std::cos(angle), kCentre + kRadius * std::sin(angle));
  }
  return outline;
}

const std::vector<std::string>& AllNames() {
  static const auto& names =
      *new std::vector<std::string>{"circle",  "square", "triangle", "star",  "ring", "cross",
                                    "hexagon", "heart",  "crescent", "arrow", "drop"};
  return names;
}

}  // namespace

const std::vector<std::string>& ShapeNames() {
  static const auto& names =
      *new std::vector<std::string>(AllNames().begin(), AllNames().begin() + kShapeCount);
  return names;
}

const std::string& NameOf(Shape shape) { return AllNames()[static_cast<std::size_t>(shape)]; }

std::optional<Shape> ShapeOf(std::string_view name) {
  const auto found = std::find(AllNames().begin(), AllNames().end(), name);
  if (found == AllNames().end()) return std::nullopt;
  return static_cast<Shape>(found - AllNames().begin());
}

std::vector<Outline> OutlinesOf(Shape shape) {
  constexpr double kArm = 0.32;  // half of a cross arm's width
  switch (shape) {
    case Shape::kCircle:
      return {Regular(64)};
    case Shape::kSquare:
      return {{{-0.7, -0.7}, {0.7, -0.7}, {0.7, 0.7}, {-0.7, 0.7}}};
    case Shape::kTriangle:
      return {Regular(3)};
    case Shape::kStar:
      return {Regular(10, 0.42)};
    case Shape::kRing:
      return {Regular(64), Scaled(Regular(64), 0.55)};
    case Shape::kCross:
      return {{{-kArm, -0.94},
               {kArm, -0.94},
               {kArm, -kArm},
               {0.94, -kArm},
               {0.94, kArm},
               {kArm, kArm},
               {kArm, 0.94},
               {-kArm, 0.94},
               {-kArm, kArm},
               {-0.94, kArm},
               {-0.94, -kArm},
               {-kArm, -kArm}}};
    case Shape::kHexagon:
      return {Regular(6)};
    case Shape::kHeart:
      return {Heart()};
    case Shape::kCrescent:
      return {Crescent()};
    case Shape::kArrow:
      return {{{1, 0},
               {0.15, 0.7},
               {0.15, 0.26},
               {-0.95, 0.26},
               {-0.95, -0.26},
               {0.15, -0.26},
               {0.15, -0.7}}};
    case Shape::kDrop:
      return {Drop()};
  }
  return {};
}

}  // namespace trainer
