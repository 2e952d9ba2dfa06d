#include "vision/nms.h"

#include <gmock/gmock.h>

namespace vision {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(SuppressNonMaximaTest, KeepsTheBestOfOverlappingBoxesByFallingScore) {
  // The first two overlap by 81 / 119 = 0.68, the third touches neither.
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {1, 1, 11, 11}, {50, 50, 60, 60}};
  const std::vector<float> scores = {0.8f, 0.9f, 0.7f};

  EXPECT_THAT(SuppressNonMaxima(boxes, scores, 0.5f), ElementsAre(1, 2));
  EXPECT_THAT(SuppressNonMaxima(boxes, scores, 0.7f), ElementsAre(1, 0, 2));
}

TEST(SuppressNonMaximaTest, AnOverlapOfExactlyTheThresholdIsAllowedAsInTorchvision) {
  const std::vector<Box> boxes = {{0, 0, 10, 20}, {0, 0, 10, 10}};

  EXPECT_THAT(SuppressNonMaxima(boxes, std::vector<float>{1, 0.5f}, 0.5f), ElementsAre(0, 1));
}

TEST(SuppressNonMaximaTest, ASuppressedBoxSuppressesNoneAndTiesKeepTheirOrder) {
  // A chain: each overlaps its neighbours by 1/3, the ends by nothing.
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {5, 0, 15, 10}, {10, 0, 20, 10}};

  EXPECT_THAT(SuppressNonMaxima(boxes, std::vector<float>{1, 1, 1}, 0.3f), ElementsAre(0, 2));
}

TEST(SuppressNonMaximaTest, BoxesWithoutAreaSuppressNothing) {
  const std::vector<Box> boxes = {{5, 5, 5, 5}, {5, 5, 5, 5}};

  EXPECT_THAT(SuppressNonMaxima(boxes, std::vector<float>{1, 1}, 0.5f), SizeIs(2));
}

TEST(SuppressSortedTest, ShapesOfOtherGroupsDoNotMeetAndMostIsTheLimit) {
  const std::vector<Box> boxes = {{0, 0, 10, 10}, {0, 0, 10, 10}, {0, 0, 10, 10}, {20, 0, 30, 10}};
  const std::vector<int> groups = {0, 1, 0, 1};
  const auto equal = [](const Box& better, const Box& box) { return better == box; };

  EXPECT_THAT(SuppressSorted(boxes, groups, /*most=*/9, equal), ElementsAre(0, 1, 3));
  EXPECT_THAT(SuppressSorted(boxes, groups, /*most=*/2, equal), ElementsAre(0, 1));
  EXPECT_THAT(SuppressSorted(boxes, /*groups=*/{}, /*most=*/9, equal), ElementsAre(0, 3));
}

}  // namespace
}  // namespace vision
