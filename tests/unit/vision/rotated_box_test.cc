#include "vision/rotated_box.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

namespace vision {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

TEST(RotatedBoxTest, TurnsClockwiseOnScreen) {
  // 40 wide, 20 high about (100, 50); a quarter turn brings its top-left corner to the top right.
  const auto corners = Corners({{100, 50}, 40, 20, kPi / 2});

  EXPECT_NEAR(corners[0].x, 110, 1e-4);
  EXPECT_NEAR(corners[0].y, 30, 1e-4);
  EXPECT_NEAR(corners[1].x, 110, 1e-4);
  EXPECT_NEAR(corners[1].y, 70, 1e-4);
}

TEST(RotatedBoxTest, TheBoxAroundOneTouchesItsCorners) {
  const Box flat = BoundingBox({{10, 20}, 8, 4, 0});
  EXPECT_EQ(flat, (Box{6, 18, 14, 22}));

  const Box diamond = BoundingBox({{0, 0}, 10, 10, kPi / 4});  // half a diagonal to every side
  EXPECT_NEAR(diamond.x_min, -10 / std::numbers::sqrt2, 1e-4);
  EXPECT_NEAR(diamond.y_max, 10 / std::numbers::sqrt2, 1e-4);
}

TEST(RotatedBoxTest, UprightBoxesOverlapAsUprightBoxesDo) {
  // 10 x 10 shifted by (5, 0): 50 of 150; by (2, 3) inside a larger one: 16 of 400.
  EXPECT_NEAR(RotatedIou({{0, 0}, 10, 10, 0}, {{5, 0}, 10, 10, 0}), 50.0 / 150, 1e-12);
  EXPECT_NEAR(RotatedIou({{0, 0}, 20, 20, 0}, {{2, 3}, 4, 4, 0}), 16.0 / 400, 1e-12);
  EXPECT_EQ(RotatedIou({{0, 0}, 10, 10, 0}, {{50, 0}, 10, 10, 0}), 0);
}

TEST(RotatedBoxTest, ASquareAndItselfTurnedShareAnOctagon) {
  const RotatedBox square = {{7, -3}, 2, 2, 0.3F};
  RotatedBox turned = square;
  turned.angle += kPi / 4;

  // Of side 2: the regular octagon about the unit circle, 8 tan(22.5 degrees).
  const double octagon = 8 * std::tan(std::numbers::pi / 8);
  EXPECT_NEAR(RotatedIou(square, turned), octagon / (8 - octagon), 1e-6);
  EXPECT_NEAR(RotatedIou(turned, square), octagon / (8 - octagon), 1e-6);
}

TEST(RotatedBoxTest, TheSameRectangleUnderAnotherNameIsTheSame) {
  EXPECT_NEAR(RotatedIou({{5, 5}, 30, 10, 0.4F}, {{5, 5}, 10, 30, 0.4F + kPi / 2}), 1, 1e-5);
  EXPECT_NEAR(RotatedIou({{5, 5}, 30, 10, 0.4F}, {{5, 5}, 30, 10, 0.4F - kPi}), 1, 1e-5);
}

TEST(RotatedBoxTest, FarFromTheOriginNoDigitsAreLost) {
  // As a class's boxes are shifted before suppression.
  EXPECT_NEAR(RotatedIou({{300000, 300000}, 10, 10, 0}, {{300005, 300000}, 10, 10, 0}), 50.0 / 150,
              1e-12);
}

TEST(RotatedBoxTest, WhatHasNoAreaOverlapsNothing) {
  const RotatedBox box = {{0, 0}, 10, 10, 0};
  EXPECT_EQ(RotatedIou(box, {{0, 0}, 0, 10, 0}), 0);
  EXPECT_EQ(RotatedIou({{0, 0}, -5, 10, 0}, box), 0);
  EXPECT_EQ(RotatedIou(box, {{0, 0}, std::numeric_limits<float>::quiet_NaN(), 10, 0}), 0);
  EXPECT_EQ(RotatedIou(box, {{std::numeric_limits<float>::quiet_NaN(), 0}, 10, 10, 0}), 0);
}

}  // namespace
}  // namespace vision
