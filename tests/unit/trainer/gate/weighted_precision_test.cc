#include "trainer/gate/weighted_precision.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "dataset/coco_reader.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/evaluate/coco_results.h"
#include "trainer/evaluate/coco_scores.h"
#include "trainer/scenes/random.h"

namespace trainer {
namespace {

namespace json = boost::json;

// Both are sums of the same numbers, once with the smallest double in each denominator.
constexpr double kTolerance = 1e-9;

void ExpectScores(const std::vector<Precision>& ours, const CocoEvaluation& theirs) {
  ASSERT_EQ(ours.size(), theirs.by_class.size());
  for (std::size_t c = 0; c < ours.size(); ++c) {
    EXPECT_NEAR(ours[c].ap.value_or(-1), theirs.by_class[c].ap.value_or(-1), kTolerance) << c;
    EXPECT_NEAR(ours[c].ap50.value_or(-1), theirs.by_class[c].ap50.value_or(-1), kTolerance) << c;
  }
  EXPECT_NEAR(MeanOf(ours).ap.value_or(-1), theirs.all.ap.value_or(-1), kTolerance);
  EXPECT_NEAR(MeanOf(ours).ap50.value_or(-1), theirs.all.ap50.value_or(-1), kTolerance);
}

// The cases of pycocotools, with crowds, equal scores and classes without objects.
TEST(WeightedPrecisionTest, WhereEachImageCountsOnceItIsCocos) {
  const json::value cases =
      json::parse(duet_testing::ReadFile(DUET_TEST_DATA "/trainer/coco_evaluation.json"));
  ASSERT_FALSE(cases.as_array().empty());
  for (const json::value& one : cases.as_array()) {
    const std::string annotations = json::serialize(one.at("annotations"));
    dataset::Findings findings;
    ASSERT_OK_AND_ASSIGN(const dataset::Dataset truth,
                         dataset::ReadCoco(annotations, {.boxes_as_written = true}, &findings));
    ASSERT_OK_AND_ASSIGN(const DetectionsByImage detections,
                         ReadCocoResults(json::serialize(one.at("results")), annotations, truth));
    const std::vector<int> once(truth.samples.size(), 1);
    for (const IouType type : {IouType::kBoxes, IouType::kMasks}) {
      ExpectScores(WeightedPrecision(truth, detections, type).ByClass(once),
                   EvaluateCoco(truth, detections, type));
    }
  }
}

vision::Box RandomBox(Random& random) {
  const auto x = static_cast<float>(random.Integer(0, 20));
  const auto y = static_cast<float>(random.Integer(0, 20));
  return {x, y, x + 10, y + 10};
}

struct Case {
  dataset::Dataset truth;
  DetectionsByImage detections;
};

// Detections near objects and anywhere; no two scores are equal.
Case RandomCase(Random& random) {
  Case result{.truth = {.classes = {"cat", "dog"}, .samples = {}}, .detections = {}};
  for (int image = 0; image < 6; ++image) {
    dataset::Sample& sample = result.truth.samples.emplace_back();
    sample.size = {40, 40};
    std::vector<Detection>& found = result.detections.emplace_back();
    for (int i = random.Integer(0, 4); i > 0; --i) {
      dataset::Object& object = sample.objects.emplace_back();
      object.class_index = random.Integer(0, 1);
      object.box = RandomBox(random);
      object.area = 100;
      object.crowd = random.Chance(0.1);
      vision::Box box = random.Chance(0.3) ? RandomBox(random) : object.box;
      box.x_max += static_cast<float>(random.Uniform(0, 5));
      found.push_back({.class_index = object.class_index,
                       .box = box,
                       .score = static_cast<float>(random.Uniform(0, 1)),
                       .mask = {}});
    }
  }
  return result;
}

TEST(WeightedPrecisionTest, AnImageThatCountsTwiceIsThereTwice) {
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    const Case once = RandomCase(random);
    Case repeated{.truth = {.classes = once.truth.classes, .samples = {}}, .detections = {}};
    std::vector<int> counts;
    for (std::size_t image = 0; image < once.truth.samples.size(); ++image) {
      counts.push_back(random.Integer(0, 3));
      for (int copy = 0; copy < counts.back(); ++copy) {
        repeated.truth.samples.push_back(once.truth.samples[image]);
        repeated.detections.push_back(once.detections[image]);
      }
    }
    ExpectScores(WeightedPrecision(once.truth, once.detections, IouType::kBoxes).ByClass(counts),
                 EvaluateCoco(repeated.truth, repeated.detections, IouType::kBoxes));
  }
}

// As if there were one class, but a dog is still no cat: matched by class, counted together.
TEST(WeightedPrecisionTest, PooledIsOneRankingOfAllClasses) {
  dataset::Dataset truth{.classes = {"cat", "dog"}, .samples = {}};
  DetectionsByImage detections(2);
  const auto add = [&](std::size_t image, int truth_class, int found_class, float score) {
    dataset::Object& object = truth.samples[image].objects.emplace_back();
    object.class_index = truth_class;
    object.box = {0, 0, 10, 10};
    object.area = 100;
    detections[image].push_back(
        {.class_index = found_class, .box = object.box, .score = score, .mask = {}});
  };
  truth.samples.resize(2);
  add(0, 0, 0, 0.9F);
  add(1, 1, 0, 0.8F);  // a dog that is called a cat
  detections[1].push_back({.class_index = 1, .box = {0, 0, 10, 10}, .score = 0.7F, .mask = {}});
  const WeightedPrecision precision(truth, detections, IouType::kBoxes);
  // Hit, false alarm, hit: precision 1 up to recall 0.5 (51 points), then 2/3.
  EXPECT_NEAR(*precision.Pooled(std::vector{1, 1}).ap50, (51 + 50 * 2.0 / 3) / 101, kTolerance);
  EXPECT_NEAR(*MeanOf(precision.ByClass(std::vector{1, 1})).ap50, 1, kTolerance);
  // The second image twice: precisions 1, 1/3 and 2/4 … 3/5 with three of three found.
  EXPECT_NEAR(*precision.Pooled(std::vector{1, 2}).ap50, (34 + 67 * 3.0 / 5) / 101, kTolerance);
}

// 200 images with a cat each, so that recall grows in steps of half a hundredth.
TEST(WeightedPrecisionTest, ManyHitsAreReadAtAHundredAndOneRecalls) {
  Random random(11);
  Case many{.truth = {.classes = {"cat"}, .samples = {}}, .detections = {}};
  for (int image = 0; image < 200; ++image) {
    dataset::Object& object = many.truth.samples.emplace_back().objects.emplace_back();
    object.box = {0, 0, 10, 10};
    object.area = 100;
    std::vector<Detection>& found = many.detections.emplace_back();
    for (const float left : {0.0F, 20.0F}) {
      if (random.Chance(0.2)) continue;
      found.push_back({.class_index = 0,
                       .box = {left, 0, left + 10, 10},
                       .score = static_cast<float>(random.Uniform(0, 1)),
                       .mask = {}});
    }
  }
  ExpectScores(WeightedPrecision(many.truth, many.detections, IouType::kBoxes)
                   .ByClass(std::vector<int>(200, 1)),
               EvaluateCoco(many.truth, many.detections, IouType::kBoxes));
}

TEST(WeightedPrecisionTest, WithoutImagesThereIsNone) {
  const WeightedPrecision precision({.classes = {"cat"}, .samples = {}}, {}, IouType::kBoxes);
  EXPECT_EQ(MeanOf(precision.ByClass({})).ap, std::nullopt);
}

}  // namespace
}  // namespace trainer
