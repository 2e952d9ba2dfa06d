#include "detector_service/blueprint/box_coding.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace detector {
namespace {

void ExpectBox(const vision::Box& box, const vision::Box& expected) {
  EXPECT_NEAR(box.x_min, expected.x_min, 1e-4);
  EXPECT_NEAR(box.y_min, expected.y_min, 1e-4);
  EXPECT_NEAR(box.x_max, expected.x_max, 1e-4);
  EXPECT_NEAR(box.y_max, expected.y_max, 1e-4);
}

TEST(BoxCodingTest, DistancesAreMeasuredFromTheCellsPoint) {
  const float raw[] = {1, 2, 3, -1};
  ExpectBox(DecodeBox({.code = BoxCode::kDistances}, raw, /*level=*/1, /*x=*/2, /*y=*/3),
            {31, 46, 35, 47});
  ExpectBox(DecodeBox({.code = BoxCode::kStrideDistances, .point = 0.5F}, raw, 1, 2, 3),
            {24, 24, 88, 40});
}

TEST(BoxCodingTest, ADistributionsMeanIsTheDistance) {
  // Of bins 0, 1, 2: all in 2, all in 0, half in 0 and 2, everything alike.
  const float raw[] = {0, 0, 90, 90, 0, 0, 50, -50, 50, 7, 7, 7};
  const BoxCoding coding = {.code = BoxCode::kDistributions, .point = 0.5F, .bins = 3};

  EXPECT_EQ(coding.numbers(), 12);
  ExpectBox(DecodeBox(coding, raw, /*level=*/0, 1, 0), {-4, 4, 20, 12});
}

TEST(BoxCodingTest, AnchorsAreScaledByFourTimesTheSquaredSigmoid) {
  const BoxCoding coding = {
      .code = BoxCode::kAnchors,
      .point = 0.5F,
      .anchors = {{{{10, 20}, {30, 40}}, {{1, 1}, {1, 1}}, {{1, 1}, {1, 1}}}}};
  const float neutral[] = {0, 0, 0, 0};
  const float extreme[] = {90, -90, 90, 0};

  EXPECT_EQ(coding.per_cell(), 2);
  ExpectBox(DecodeBox(coding, neutral, 0, 2, 2, /*anchor=*/0), {15, 10, 25, 30});
  ExpectBox(DecodeBox(coding, extreme, 0, 2, 2, /*anchor=*/1), {-32, -8, 88, 32});
}

TEST(BoxCodingTest, CentreAndLogarithmOfTheSizeAreInStrides) {
  const float raw[] = {0.5F, 1, std::log(2.0F), 0};
  ExpectBox(DecodeBox({.code = BoxCode::kCentreSize}, raw, /*level=*/2, 1, 1), {16, 48, 80, 80});
}

}  // namespace
}  // namespace detector
