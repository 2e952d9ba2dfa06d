#include "vision/mask_overlap.h"

#include <gtest/gtest.h>

#include <opencv2/core.hpp>

namespace vision {
namespace {

TEST(MaskOverlapTest, CountsPixelsOfBothInEachRow) {
  const Mask a{.size = {20, 9}, .spans = {{0, 0, 5}, {2, 1, 4}, {2, 6, 9}, {3, 0, 20}, {8, 0, 2}}};
  const Mask b{.size = {20, 9}, .spans = {{1, 0, 20}, {2, 3, 8}, {3, 1, 2}, {3, 4, 6}, {3, 8, 20}}};
  // Row 2: x = 3, 6, 7. Row 3: 1, 4, 5, and 8 to 19.
  EXPECT_EQ(IntersectionArea(a, b), 3 + 3 + 12);
  EXPECT_EQ(IntersectionArea(b, a), 3 + 3 + 12);
}

TEST(MaskOverlapTest, IsZeroWithNothingInCommon) {
  const Mask a{.size = {9, 9}, .spans = {{0, 0, 5}}};
  EXPECT_EQ(IntersectionArea(a, {.size = {9, 9}, .spans = {}}), 0);
  EXPECT_EQ(IntersectionArea({.size = {9, 9}, .spans = {}}, a), 0);
  EXPECT_EQ(IntersectionArea(a, {.size = {9, 9}, .spans = {{0, 5, 9}, {1, 0, 9}}}), 0);
}

TEST(MaskOverlapTest, IsWhatPixelsSay) {
  cv::RNG random(1);
  for (int n = 0; n < 50; ++n) {
    cv::Mat a(17, 23, CV_8UC1);
    cv::Mat b(17, 23, CV_8UC1);
    random.fill(a, cv::RNG::UNIFORM, 0, 3);
    random.fill(b, cv::RNG::UNIFORM, 0, 3);
    EXPECT_EQ(IntersectionArea(MaskFromPixels(a), MaskFromPixels(b)), cv::countNonZero(a.mul(b)));
  }
}

}  // namespace
}  // namespace vision
