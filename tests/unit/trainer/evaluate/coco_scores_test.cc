#include "trainer/evaluate/coco_scores.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "dataset/coco_reader.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/evaluate/coco_results.h"

namespace trainer {
namespace {

namespace json = boost::json;

constexpr vision::Box kLeft{0, 0, 10, 10};
constexpr vision::Box kRight{20, 0, 30, 10};

// In the order of COCOeval.stats.
constexpr CocoScores::Score CocoScores::*kStats[] = {
    &CocoScores::ap,        &CocoScores::ap50,     &CocoScores::ap75,      &CocoScores::ap_small,
    &CocoScores::ap_medium, &CocoScores::ap_large, &CocoScores::ar1,       &CocoScores::ar10,
    &CocoScores::ar100,     &CocoScores::ar_small, &CocoScores::ar_medium, &CocoScores::ar_large};

// Both are sums of the same numbers in another order.
constexpr double kTolerance = 1e-9;

void ExpectStats(const CocoScores& scores, const json::value& stats) {
  for (std::size_t i = 0; i < std::size(kStats); ++i) {
    const double theirs = stats.as_array()[i].to_number<double>();
    EXPECT_NEAR((scores.*kStats[i]).value_or(-1), theirs, kTolerance) << "stats[" << i << "]";
  }
}

void ExpectEvaluation(const CocoEvaluation& ours, const json::value& theirs) {
  ExpectStats(ours.all, theirs.at("all"));
  const json::array& by_class = theirs.at("by_class").as_array();
  ASSERT_EQ(ours.by_class.size(), by_class.size());
  for (std::size_t c = 0; c < by_class.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "class " << c);
    ExpectStats(ours.by_class[c], by_class[c]);
  }
}

// Made by tools/make_evaluation_fixtures.py, which says what is in the cases.
TEST(CocoScoresTest, AreThoseOfPycocotools) {
  const json::value cases =
      json::parse(duet_testing::ReadFile(DUET_TEST_DATA "/trainer/coco_evaluation.json"));
  ASSERT_FALSE(cases.as_array().empty());
  for (const json::value& one : cases.as_array()) {
    const std::string annotations = json::serialize(one.at("annotations"));
    dataset::Findings findings;
    ASSERT_OK_AND_ASSIGN(const dataset::Dataset truth,
                         dataset::ReadCoco(annotations, {.boxes_as_written = true}, &findings));
    const bool odd = one.at("odd_boxes").as_bool();
    ASSERT_EQ(findings.empty(), !odd) << "outside of the image, or without width";
    ASSERT_OK_AND_ASSIGN(const DetectionsByImage detections,
                         ReadCocoResults(json::serialize(one.at("results")), annotations, truth));
    {
      SCOPED_TRACE("boxes");
      ExpectEvaluation(EvaluateCoco(truth, detections, IouType::kBoxes), one.at("boxes"));
    }
    SCOPED_TRACE("masks");
    ExpectEvaluation(EvaluateCoco(truth, detections, IouType::kMasks), one.at("masks"));
  }
}

dataset::Object ObjectAt(const vision::Box& box, int class_index = 0, bool crowd = false) {
  dataset::Object object;
  object.class_index = class_index;
  object.box = box;
  object.area = double{box.width()} * box.height();
  object.crowd = crowd;
  return object;
}

Detection Found(const vision::Box& box, float score, int class_index = 0) {
  return {.class_index = class_index, .box = box, .score = score, .mask = {}};
}

dataset::Dataset Images(const std::vector<std::vector<dataset::Object>>& images, int classes = 1) {
  dataset::Dataset dataset;
  for (int c = 0; c < classes; ++c) dataset.classes.emplace_back(1, static_cast<char>('a' + c));
  for (const auto& objects : images) {
    dataset::Sample& sample = dataset.samples.emplace_back();
    sample.size = {100, 100};
    sample.objects = objects;
  }
  return dataset;
}

CocoScores Scores(const dataset::Dataset& truth, const DetectionsByImage& detections) {
  return EvaluateCoco(truth, detections, IouType::kBoxes).all;
}

// pycocotools adds the smallest double to each denominator, hence "near".
TEST(CocoScoresTest, AllFoundAndNothingElseIsOne) {
  const CocoScores scores = Scores(Images({{ObjectAt(kLeft), ObjectAt(kRight)}}),
                                   {{Found(kLeft, 0.9F), Found(kRight, 0.8F)}});
  EXPECT_NEAR(*scores.ap, 1, kTolerance);
  EXPECT_NEAR(*scores.ar100, 1, kTolerance);
  EXPECT_NEAR(*scores.ar1, 0.5, kTolerance);  // one detection an image
}

// Recall reaches 0.5 with precision 1: 51 of 101 recall points (0, 0.01, …, 0.5).
TEST(CocoScoresTest, HalfOfTheObjectsFound) {
  const CocoScores scores =
      Scores(Images({{ObjectAt(kLeft), ObjectAt(kRight)}}), {{Found(kLeft, 0.9F)}});
  EXPECT_NEAR(*scores.ap50, 51.0 / 101, kTolerance);
}

// The false alarm comes first: precision is 1/2 at every recall.
TEST(CocoScoresTest, AFalseAlarmAboveTheHitHalvesPrecision) {
  const CocoScores scores =
      Scores(Images({{ObjectAt(kLeft)}}), {{Found(kRight, 0.9F), Found(kLeft, 0.8F)}});
  EXPECT_NEAR(*scores.ap50, 0.5, kTolerance);
}

// Precision 1 up to recall 0.5 (51 points), 2/3 up to recall 1 (50 points).
TEST(CocoScoresTest, ASecondHitOfTheSameObjectIsAFalseAlarm) {
  const CocoScores scores = Scores(Images({{ObjectAt(kLeft), ObjectAt(kRight)}}),
                                   {{Found(kLeft, 0.9F), Found(kLeft, 0.8F), Found(kRight, 0.7F)}});
  EXPECT_NEAR(*scores.ap50, (51 + 50 * 2.0 / 3) / 101, kTolerance);
}

TEST(CocoScoresTest, ABoxOfAnotherClassOrImageHitsNothing) {
  const CocoScores scores =
      Scores(Images({{ObjectAt(kLeft)}, {}}, 2), {{Found(kLeft, 0.9F, 1)}, {Found(kLeft, 0.9F)}});
  EXPECT_NEAR(*scores.ap50, 0, kTolerance);
}

TEST(CocoScoresTest, ClassesCountEquallyAndThoseWithoutObjectsNot) {
  const CocoEvaluation evaluation = EvaluateCoco(
      Images({{ObjectAt(kLeft, 0), ObjectAt(kRight, 0), ObjectAt({50, 0, 60, 10}, 1)}}, 3),
      {{Found(kLeft, 0.9F, 0), Found(kRight, 0.8F, 0), Found(kRight, 0.9F, 2)}}, IouType::kBoxes);
  EXPECT_NEAR(*evaluation.all.ap50, 0.5, kTolerance);
  EXPECT_NEAR(*evaluation.by_class[0].ap50, 1, kTolerance);
  EXPECT_NEAR(*evaluation.by_class[1].ap50, 0, kTolerance);
  EXPECT_EQ(evaluation.by_class[2].ap50, std::nullopt);
}

TEST(CocoScoresTest, DetectionsInACrowdAreNoFalseAlarms) {
  const CocoScores scores =
      Scores(Images({{ObjectAt({20, 0, 60, 40}, 0, /*crowd=*/true), ObjectAt(kLeft)}}),
             {{Found(kRight, 0.9F), Found({30, 5, 40, 10}, 0.9F), Found(kLeft, 0.8F)}});
  EXPECT_NEAR(*scores.ap, 1, kTolerance);
}

// Of the crowd's mask a detection inside is a small part; what counts is that all of it is inside.
TEST(CocoScoresTest, MasksInACrowdAreNoFalseAlarmsEither) {
  // These columns of the upper forty rows.
  const auto block = [](int x_begin, int x_end) {
    vision::Mask mask{.size = {100, 100}, .spans = {}};
    for (int y = 0; y < 40; ++y) mask.spans.push_back({y, x_begin, x_end});
    return mask;
  };
  dataset::Object crowd = ObjectAt({20, 0, 90, 40}, 0, /*crowd=*/true);
  crowd.mask = block(20, 90);
  dataset::Object object = ObjectAt({0, 0, 10, 40});
  object.mask = block(0, 10);
  Detection inside = Found({30, 0, 40, 40}, 0.9F);
  inside.mask = block(30, 40);
  Detection hit = Found(object.box, 0.8F);
  hit.mask = object.mask;

  const CocoEvaluation scores =
      EvaluateCoco(Images({{crowd, object}}), {{inside, hit}}, IouType::kMasks);

  EXPECT_NEAR(*scores.all.ap, 1, kTolerance);
}

// The detection lies wholly in the crowd, but also covers 80 of the object's 100 pixels.
TEST(CocoScoresTest, AnObjectIsPreferredToTheCrowdAroundIt) {
  const CocoScores scores =
      Scores(Images({{ObjectAt(kLeft), ObjectAt({0, 0, 60, 40}, 0, /*crowd=*/true)}}),
             {{Found({0, 0, 10, 8}, 0.9F)}});
  EXPECT_NEAR(*scores.ap50, 1, kTolerance);
}

TEST(CocoScoresTest, NothingToBeFoundIsNoScore) {
  const CocoScores scores = Scores(Images({{}}), {{Found(kLeft, 0.9F)}});
  EXPECT_EQ(scores.ap, std::nullopt);
  EXPECT_EQ(scores.ar100, std::nullopt);
}

}  // namespace
}  // namespace trainer
