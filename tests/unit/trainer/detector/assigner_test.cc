#include "trainer/detector/assigner.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace trainer {
namespace {

constexpr int kClasses = 2;

// A row of five priors, 8 pixels apart, at y = 8.
const std::vector<Prior> kRow{{0, 8, 8}, {8, 8, 8}, {16, 8, 8}, {24, 8, 8}, {32, 8, 8}};

std::vector<float> Undecided(std::size_t priors) {
  return std::vector<float>(priors * kClasses, 0.0F);
}

TEST(AssignerTest, PriorsOutsideOfEveryBoxAreBackground) {
  const std::vector<LabelledBox> objects{{{4, 0, 20, 16}, 1}};
  const std::vector<vision::Box> predicted(5, objects[0].box);

  const auto assigned = AssignDynamicSoftLabels(kRow, predicted, Undecided(5), kClasses, objects);

  EXPECT_EQ(assigned[0].object, -1);  // x = 0 is left of 4
  EXPECT_EQ(assigned[1].object, 0);
  EXPECT_EQ(assigned[2].object, 0);
  EXPECT_EQ(assigned[3].object, -1);  // x = 24 is right of 20
  EXPECT_EQ(assigned[4].object, -1);
  EXPECT_FLOAT_EQ(assigned[1].iou, 1);
}

// The sum of the IoUs is 1 + 0.5 + 0.25 = 1.75, so k is 1: only the best predictor is taught.
TEST(AssignerTest, AnObjectTakesAsManyPriorsAsItsIousSumTo) {
  const std::vector<LabelledBox> objects{{{4, 0, 28, 16}, 0}};  // holds priors 1, 2, 3
  std::vector<vision::Box> predicted(5, vision::Box{});
  predicted[1] = {4, 0, 16, 16};  // half of the object
  predicted[2] = objects[0].box;
  predicted[3] = {4, 0, 10, 16};  // a quarter

  const auto assigned = AssignDynamicSoftLabels(kRow, predicted, Undecided(5), kClasses, objects);

  EXPECT_EQ(assigned[1].object, -1);
  EXPECT_EQ(assigned[2].object, 0);
  EXPECT_EQ(assigned[3].object, -1);
}

TEST(AssignerTest, AtLeastOnePriorEvenIfNothingFitsYet) {
  const std::vector<LabelledBox> objects{{{4, 0, 28, 16}, 0}};
  const std::vector<vision::Box> predicted(5, vision::Box{100, 100, 110, 110});

  const auto assigned = AssignDynamicSoftLabels(kRow, predicted, Undecided(5), kClasses, objects);

  // All IoUs are 0; the centre is at (16, 8): prior 2 is nearest.
  EXPECT_EQ(assigned[2].object, 0);
  EXPECT_FLOAT_EQ(assigned[2].iou, 0);
  EXPECT_EQ(assigned[1].object, -1);
}

TEST(AssignerTest, APriorThatTwoObjectsWantGoesToTheCheaper) {
  const std::vector<Prior> one{{8, 8, 8}};
  const std::vector<LabelledBox> objects{{{0, 0, 40, 40}, 0}, {{0, 0, 16, 16}, 1}};
  const std::vector<vision::Box> predicted{{0, 0, 16, 16}};

  const auto assigned = AssignDynamicSoftLabels(one, predicted, Undecided(1), kClasses, objects);

  EXPECT_EQ(assigned[0].object, 1);
  EXPECT_FLOAT_EQ(assigned[0].iou, 1);
}

// Equal boxes, equal distances: the class score decides.
TEST(AssignerTest, AConfidentPriorIsCheaper) {
  const std::vector<Prior> pair{{4, 8, 8}, {12, 8, 8}};
  const std::vector<LabelledBox> objects{{{0, 0, 16, 16}, 1}};
  const std::vector<vision::Box> predicted(2, vision::Box{0, 0, 12, 16});  // IoU 0.75 each: k = 1
  const std::vector<float> logits{-3, -3, -3, 1};

  const auto assigned = AssignDynamicSoftLabels(pair, predicted, logits, kClasses, objects);

  EXPECT_EQ(assigned[0].object, -1);
  EXPECT_EQ(assigned[1].object, 0);
}

vision::Box BoxOf(const boost::json::value& corners) {
  const auto numbers = boost::json::value_to<std::vector<float>>(corners);
  return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

AssignerOptions OptionsOf(const boost::json::object& json) {
  AssignerOptions options;
  for (const auto& [key, value] : json) {
    if (key == "topk") options.topk = value.to_number<int>();
    if (key == "soft_center_radius") options.soft_center_radius = value.to_number<float>();
    if (key == "iou_weight") options.iou_weight = value.to_number<float>();
  }
  return options;
}

// assignment.json holds what mmdet's DynamicSoftLabelAssigner did with objects and predictions of
// all sizes, for its own options and others (tools/make_trainer_fixtures.py).
TEST(AssignerTest, AssignsAsMmdet) {
  std::ifstream file(std::string(DUET_TEST_DATA) + "/trainer/assignment.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const boost::json::value golden = boost::json::parse(text);
  std::vector<Prior> priors;
  for (const auto& row : golden.at("priors").as_array()) {
    const auto numbers = boost::json::value_to<std::vector<float>>(row);
    priors.push_back({numbers[0], numbers[1], numbers[2]});
  }
  for (const auto& test_case : golden.at("cases").as_array()) {
    SCOPED_TRACE(boost::json::serialize(test_case.at("options")));
    std::vector<LabelledBox> objects;
    for (std::size_t o = 0; o < test_case.at("boxes").as_array().size(); ++o) {
      objects.push_back(
          {BoxOf(test_case.at("boxes").at(o)), test_case.at("labels").at(o).to_number<int>()});
    }
    std::vector<vision::Box> predicted;
    std::vector<float> logits;
    for (std::size_t p = 0; p < priors.size(); ++p) {
      predicted.push_back(BoxOf(test_case.at("predicted").at(p)));
      for (const auto& logit : test_case.at("logits").at(p).as_array()) {
        logits.push_back(logit.to_number<float>());
      }
    }

    const auto assigned =
        AssignDynamicSoftLabels(priors, predicted, logits, golden.at("classes").to_number<int>(),
                                objects, OptionsOf(test_case.at("options").as_object()));

    for (std::size_t p = 0; p < priors.size(); ++p) {
      EXPECT_EQ(assigned[p].object, test_case.at("objects").at(p).to_number<int>())
          << "prior " << p;
      // Float32 in another order.
      EXPECT_NEAR(assigned[p].iou, test_case.at("ious").at(p).to_number<float>(), 1e-5)
          << "prior " << p;
    }
  }
}

// The classes' cost becomes infinity - infinity, which no sort could place. Four priors fit, so
// four are chosen: the one that doesn't fit rather than the one without a cost.
TEST(AssignerTest, LogitsBeyondAllMeasureAreTheDearest) {
  const std::vector<LabelledBox> objects{{{-1, 0, 41, 16}, 0}};
  std::vector<vision::Box> predicted(5, objects[0].box);
  predicted[4] = {100, 100, 110, 110};
  std::vector<float> logits = Undecided(5);
  for (int c = 0; c < kClasses; ++c) logits[2 * kClasses + c] = 3e38F;

  const auto assigned = AssignDynamicSoftLabels(kRow, predicted, logits, kClasses, objects);

  EXPECT_EQ(assigned[2].object, -1);
  EXPECT_EQ(assigned[4].object, 0);
}

TEST(AssignerTest, NoObjectsMeansAllBackground) {
  const auto assigned =
      AssignDynamicSoftLabels(kRow, std::vector<vision::Box>(5), Undecided(5), kClasses, {});
  for (const Assignment& assignment : assigned) EXPECT_EQ(assignment.object, -1);
}

}  // namespace
}  // namespace trainer
