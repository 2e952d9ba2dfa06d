#include "trainer/evaluate/mistakes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/evaluate/matching.h"

namespace trainer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr vision::Box kLeft{0, 0, 10, 10};
constexpr vision::Box kRight{20, 0, 30, 10};

dataset::Object ObjectAt(const vision::Box& box, bool crowd = false) {
  dataset::Object object;
  object.box = box;
  object.area = 100;
  object.crowd = crowd;
  return object;
}

Detection Found(const vision::Box& box, float score) {
  return {.class_index = 0, .box = box, .score = score, .mask = {}};
}

dataset::Dataset Cats(const std::vector<std::vector<dataset::Object>>& images) {
  dataset::Dataset dataset{.classes = {"cat"}, .samples = {}};
  for (const auto& objects : images) dataset.samples.emplace_back().objects = objects;
  return dataset;
}

// Three images: the first lacks one object, the second has two false alarms, the third is right.
const dataset::Dataset kTruth = Cats({{ObjectAt(kLeft), ObjectAt(kRight)}, {}, {ObjectAt(kRight)}});
const DetectionsByImage kDetections{
    {Found(kLeft, 0.75F)}, {Found(kLeft, 0.25F), Found(kRight, 0.125F)}, {Found(kRight, 0.5F)}};

TEST(MistakesTest, AreCountedByImageAboveTheThreshold) {
  const Mistakes mistakes = CountMistakes(kTruth, kDetections, IouType::kBoxes, 0.125);

  EXPECT_EQ(mistakes.hits, 2);
  EXPECT_EQ(mistakes.missed, 1);
  EXPECT_EQ(mistakes.false_alarms, 1);  // a score must be greater than the threshold
  EXPECT_DOUBLE_EQ(mistakes.precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(mistakes.recall, 2.0 / 3);
  EXPECT_DOUBLE_EQ(mistakes.f1, 2.0 / 3);
  EXPECT_EQ(mistakes.by_image[0].missed, 1);
  EXPECT_EQ(mistakes.by_image[0].false_alarms, 0);
  EXPECT_EQ(mistakes.by_image[1].false_alarms, 1);
  EXPECT_EQ(mistakes.by_image[2].count(), 0);
}

// With both hits and no false alarm: 2 * 2 / (2 + 3) = 0.8. Half-way between the scores 0.5 and
// 0.25.
TEST(MistakesTest, TheBestThresholdHasTheBestF1) {
  const Mistakes mistakes = CountMistakes(kTruth, kDetections, IouType::kBoxes);
  EXPECT_DOUBLE_EQ(mistakes.score_threshold, 0.375);
  EXPECT_DOUBLE_EQ(mistakes.f1, 0.8);
  EXPECT_EQ(mistakes.false_alarms, 0);
}

// No threshold takes the hit without the false alarm of the same score: 2 / (2 + 1) is the best.
TEST(MistakesTest, EqualScoresAreNotSeparated) {
  const Mistakes mistakes = CountMistakes(
      Cats({{ObjectAt(kLeft)}, {}}), {{Found(kLeft, 0.5F)}, {Found(kLeft, 0.5F)}}, IouType::kBoxes);
  EXPECT_DOUBLE_EQ(mistakes.f1, 2.0 / 3);
  EXPECT_EQ(mistakes.false_alarms, 1);
  EXPECT_DOUBLE_EQ(mistakes.score_threshold, 0.25);
}

TEST(MistakesTest, CrowdsCountNeitherWay) {
  const Mistakes mistakes =
      CountMistakes(Cats({{ObjectAt(kLeft), ObjectAt(kRight, /*crowd=*/true)}}),
                    {{Found(kLeft, 0.5F), Found(kRight, 0.75F)}}, IouType::kBoxes);
  EXPECT_EQ(mistakes.hits, 1);
  EXPECT_EQ(mistakes.missed, 0);
  EXPECT_EQ(mistakes.false_alarms, 0);
}

TEST(MistakesTest, WithoutDetectionsEverythingIsMissed) {
  const Mistakes mistakes = CountMistakes(kTruth, {{}, {}, {}}, IouType::kBoxes);
  EXPECT_EQ(mistakes.missed, 3);
  EXPECT_EQ(mistakes.f1, 0);
  EXPECT_EQ(mistakes.precision, 0);
}

TEST(MistakesTest, TheWorstImagesComeFirstAndRightOnesNot) {
  Mistakes mistakes;
  mistakes.by_image = {{1, 0}, {0, 0}, {1, 2}, {0, 1}};
  EXPECT_THAT(WorstImages(mistakes, 10), ElementsAre(2, 0, 3));
  EXPECT_THAT(WorstImages(mistakes, 2), ElementsAre(2, 0));
  EXPECT_THAT(WorstImages(mistakes, 0), IsEmpty());
}

// As numpy.linspace(.5, .95, 10) gives them.
TEST(MatchingTest, IouThresholdsAreNumpys) {
  EXPECT_EQ(IouThreshold(0), 0.5);
  EXPECT_EQ(IouThreshold(2), 0.6);
  EXPECT_EQ(IouThreshold(5), 0.75);
  EXPECT_EQ(IouThreshold(6), 0.8);
  EXPECT_EQ(IouThreshold(8), 0.8999999999999999);
  EXPECT_EQ(IouThreshold(9), 0.95);
}

}  // namespace
}  // namespace trainer
