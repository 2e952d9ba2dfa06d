#include "trainer/assigner.h"

#include <gtest/gtest.h>

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

TEST(AssignerTest, NoObjectsMeansAllBackground) {
  const auto assigned =
      AssignDynamicSoftLabels(kRow, std::vector<vision::Box>(5), Undecided(5), kClasses, {});
  for (const Assignment& assignment : assigned) EXPECT_EQ(assignment.object, -1);
}

}  // namespace
}  // namespace trainer
