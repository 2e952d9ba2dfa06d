#include "curation/informativeness.h"

#include <gmock/gmock.h>

#include <vector>

namespace curation {
namespace {

// Detections of different objects, side by side.
double Of(const std::vector<double>& scores) {
  std::vector<Detection> detections;
  for (const double score : scores) {
    const auto x = 20 * static_cast<float>(detections.size());
    detections.push_back({.label = "cat", .score = score, .box = {x, 0, x + 10, 10}});
  }
  return Informativeness(detections);
}

TEST(InformativenessTest, AnObjectIsWorthTheEntropyOfItsScoreInBits) {
  EXPECT_DOUBLE_EQ(Of({0.5}), 1);
  EXPECT_NEAR(Of({0.11}), 0.4999, 1e-4);
  EXPECT_DOUBLE_EQ(Of({0.25}), Of({0.75}));
  EXPECT_DOUBLE_EQ(Of({1}), 0);
}

TEST(InformativenessTest, AnImageIsWorthItsThreeMostDoubtfulObjects) {
  EXPECT_DOUBLE_EQ(Of({}), 0);
  EXPECT_DOUBLE_EQ(Of({0.5, 0.5, 1}), 2);
  EXPECT_DOUBLE_EQ(Of({0.9, 0.5, 0.9, 0.5, 0.5, 0.9}), 3) << "a crowd is no more than that";
}

TEST(InformativenessTest, AnObjectThatIsFoundAsSeveralClassesAsksForEach) {
  const vision::Box box = {0, 0, 10, 10};
  const vision::Box almost = {0, 0, 10, 6};
  const vision::Box elsewhere = {20, 0, 30, 10};

  EXPECT_DOUBLE_EQ(Informativeness({{"star", 0.5, box}, {"ring", 0.5, almost}}), 2);
  EXPECT_DOUBLE_EQ(Informativeness({{"a", 0.5, box},
                                    {"b", 0.5, box},
                                    {"c", 0.5, almost},
                                    {"d", 0.5, almost},
                                    {"e", 0.5, elsewhere}}),
                   5)
      << "four classes of one object and one of another: two objects";
}

TEST(InformativenessTest, WhatIsProbablyBackgroundCountsForNothing) {
  EXPECT_DOUBLE_EQ(Of({kLeastScore}), 0);
  EXPECT_GT(Of({kLeastScore + 0.001}), 0.28);
}

TEST(InformativenessTest, TheMoreIsLearnedTheLowerIsTheScore) {
  EXPECT_DOUBLE_EQ(PredictionScore(0), 1);
  EXPECT_DOUBLE_EQ(PredictionScore(1), 0.5);
  EXPECT_LT(PredictionScore(3.1), PredictionScore(3));
  EXPECT_GT(PredictionScore(1000), 0);
}

}  // namespace
}  // namespace curation
