#include "trainer/evaluate/average_precision.h"

#include <gtest/gtest.h>

namespace trainer {
namespace {

const vision::Box kLeft{0, 0, 10, 10};
const vision::Box kRight{20, 0, 30, 10};

TEST(AveragePrecisionTest, AllFoundAndNothingElseIsOne) {
  const auto result = ComputeAveragePrecision({{{kLeft, 0, 0.9F}, {kRight, 0, 0.8F}}},
                                              {{{kLeft, 0}, {kRight, 0}}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 1);
}

// Recall reaches 0.5 with precision 1: 51 of 101 recall points (0, 0.01, …, 0.5).
TEST(AveragePrecisionTest, HalfOfTheObjectsFound) {
  const auto result =
      ComputeAveragePrecision({{{kLeft, 0, 0.9F}}}, {{{kLeft, 0}, {kRight, 0}}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 51.0 / 101);
}

// The false alarm comes first: precision is 1/2 at every recall.
TEST(AveragePrecisionTest, AFalseAlarmAboveTheHitHalvesPrecision) {
  const auto result =
      ComputeAveragePrecision({{{kRight, 0, 0.9F}, {kLeft, 0, 0.8F}}}, {{{kLeft, 0}}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 0.5);
}

TEST(AveragePrecisionTest, ASecondHitOfTheSameObjectIsAFalseAlarm) {
  const auto result = ComputeAveragePrecision(
      {{{kLeft, 0, 0.9F}, {kLeft, 0, 0.8F}, {kRight, 0, 0.7F}}}, {{{kLeft, 0}, {kRight, 0}}}, 0.5F);
  // Precision 1 up to recall 0.5 (51 points), 2/3 up to recall 1 (50 points).
  EXPECT_NEAR(result.mean, (51 + 50 * 2.0 / 3) / 101, 1e-12);
}

TEST(AveragePrecisionTest, ABoxOfAnotherClassOrImageHitsNothing) {
  const auto result =
      ComputeAveragePrecision({{{kLeft, 1, 0.9F}}, {{kLeft, 0, 0.9F}}}, {{{kLeft, 0}}, {}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 0);
}

// Overlap 6 x 10 of a union of 14 x 10: IoU 0.43.
TEST(AveragePrecisionTest, TooLittleOverlapIsAMiss) {
  const auto result = ComputeAveragePrecision({{{{4, 0, 14, 10}, 0, 0.9F}}}, {{{kLeft, 0}}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 0);
  EXPECT_DOUBLE_EQ(
      ComputeAveragePrecision({{{{4, 0, 14, 10}, 0, 0.9F}}}, {{{kLeft, 0}}}, 0.4F).mean, 1);
}

TEST(AveragePrecisionTest, ClassesCountEquallyHoweverManyObjectsTheyHave) {
  const auto result =
      ComputeAveragePrecision({{{kLeft, 0, 0.9F}, {kRight, 0, 0.8F}}},
                              {{{kLeft, 0}, {kRight, 0}, {{50, 0, 60, 10}, 1}}}, 0.5F);
  EXPECT_DOUBLE_EQ(result.mean, 0.5);
  EXPECT_DOUBLE_EQ(result.by_class.at(0), 1);
  EXPECT_DOUBLE_EQ(result.by_class.at(1), 0);
}

}  // namespace
}  // namespace trainer
