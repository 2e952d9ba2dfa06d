#include "trainer/run/training_plan.h"

#include <gtest/gtest.h>

#include "trainer/run/class_colors.h"

namespace trainer {
namespace {

TEST(TrainingPlanTest, TheGuidesExampleIsTrainedAsTheGuideDoes) {
  const TrainingPlan plan = ChoosePlan(144, {});

  EXPECT_EQ(plan.epochs, 40);
  EXPECT_EQ(plan.plain_epochs, 5);
  EXPECT_EQ(plan.batch, 4);
  EXPECT_EQ(plan.steps(), 40 * 36);
  EXPECT_EQ(plan.patience_from(), 35 * 36);
  EXPECT_DOUBLE_EQ(plan.learning_rate, 0.004 * 4 / 256);
  EXPECT_EQ(plan.warmup_steps, 30);
  EXPECT_EQ(plan.frozen_stages, 4);
  EXPECT_EQ(plan.evaluate_every, 1);
}

// At --lr, 1,440 steps would move a row that begins from nothing by 0.1 at most.
TEST(TrainingPlanTest, NewClassesLearnFastInFewSteps) {
  EXPECT_EQ(ChoosePlan(144, {}).new_class_learning_rate, 0.004);
  EXPECT_EQ(ChoosePlan(144, {.learning_rate = 0.01}).new_class_learning_rate, 0.01)
      << "never slower than the others";
  EXPECT_EQ(ChoosePlan(144, {.new_class_learning_rate = 0.002}).new_class_learning_rate, 0.002);
  const TrainingPlan many = ChoosePlan(20'000, {});
  EXPECT_EQ(many.new_class_learning_rate, many.learning_rate);
}

TEST(TrainingPlanTest, FewImagesAreSeenAsManyTimesAsNeeded) {
  const TrainingPlan plan = ChoosePlan(20, {});

  EXPECT_EQ(plan.epochs, 288);
  EXPECT_EQ(plan.steps(), 40 * 36);
  EXPECT_EQ(plan.evaluate_every, 7) << "forty evaluations are enough";
  EXPECT_EQ(ChoosePlan(145, {}).epochs, 40);
}

TEST(TrainingPlanTest, TheFewerImagesTheMoreEpochsArePlain) {
  const auto plain = [](std::size_t images, int epochs) {
    return ChoosePlan(images, {.epochs = epochs}).plain_epochs;
  };
  EXPECT_EQ(plain(1000, 40), 5);
  EXPECT_EQ(plain(144, 40), 5) << "the guide's";
  EXPECT_EQ(plain(72, 40), 10);
  EXPECT_EQ(plain(36, 40), 20);
  EXPECT_EQ(plain(1, 40), 20) << "never more than half";
  EXPECT_EQ(plain(20, 1), 0);
  EXPECT_EQ(ChoosePlan(20, {}).plain_epochs, 144);
  EXPECT_EQ(ChoosePlan(20, {.plain_epochs = 36}).plain_epochs, 36) << "as was said";
}

TEST(TrainingPlanTest, ManyImagesAreTrainedAsCocoIs) {
  const TrainingPlan plan = ChoosePlan(118'000, {});

  EXPECT_EQ(plan.epochs, 300);
  EXPECT_EQ(plan.plain_epochs, 20);
  EXPECT_EQ(plan.warmup_steps, 1000);
  EXPECT_EQ(plan.frozen_stages, -1);
}

// val_interval=10, dynamic_intervals=[(280, 1)], which mmengine looks up an epoch ahead.
TEST(TrainingPlanTest, ManyImagesAreMeasuredAfterEachPlainEpoch) {
  const TrainingPlan plan = ChoosePlan(118'000, {});

  for (int epoch = 1; epoch <= 300; ++epoch) {
    EXPECT_EQ(plan.EvaluatesAfter(epoch), epoch % 10 == 0 || epoch >= 279) << epoch;
  }
  const TrainingPlan all_plain_alike = ChoosePlan(118'000, {.plain_epochs = 0});
  EXPECT_FALSE(all_plain_alike.EvaluatesAfter(299));
  EXPECT_TRUE(all_plain_alike.EvaluatesAfter(300));
  const TrainingPlan small = ChoosePlan(20, {});
  EXPECT_FALSE(small.EvaluatesAfter(286)) << "an epoch of five steps is no reason to measure";
  EXPECT_TRUE(small.EvaluatesAfter(287));
  EXPECT_TRUE(small.EvaluatesAfter(288)) << "the last one";
}

TEST(TrainingPlanTest, AnEarlyEndWaitsForThePlainEpochs) {
  EXPECT_EQ(ChoosePlan(20, {}).patience_from(), 252 * 5) << "an eighth, though a half is plain";
  EXPECT_EQ(ChoosePlan(144, {.epochs = 40, .plain_epochs = 10}).patience_from(), 30 * 36);
  EXPECT_EQ(ChoosePlan(144, {.epochs = 40, .plain_epochs = 0}).patience_from(), 20 * 36)
      << "there are none: for the learning rate to fall";
}

TEST(TrainingPlanTest, StepsAreCountedBeyond32Bits) {
  const TrainingPlan plan = ChoosePlan(118'000, {.epochs = 100'000, .batch = 1});

  EXPECT_EQ(plan.steps(), 11'800'000'000);
  EXPECT_EQ(plan.warmup_steps, 1000);
  EXPECT_GT(plan.patience_from(), 11'000'000'000);
}

TEST(TrainingPlanTest, WhatTheUserSaysCounts) {
  const TrainingPlan plan =
      ChoosePlan(100, {.epochs = 1, .batch = 8, .learning_rate = 0.5, .frozen_stages = -1});

  EXPECT_EQ(plan.steps(), 13);
  EXPECT_EQ(plan.plain_epochs, 0);
  EXPECT_EQ(plan.warmup_steps, 3) << "not longer than a quarter of it";
  EXPECT_EQ(plan.learning_rate, 0.5);
  EXPECT_EQ(plan.frozen_stages, -1);
  EXPECT_EQ(ChoosePlan(100, {.epochs = 8, .plain_epochs = 0}).plain_epochs, 0);
  EXPECT_EQ(ChoosePlan(100, {.epochs = 8, .plain_epochs = 20}).plain_epochs, 8);
}

TEST(ClassColorsTest, AreDifferentAndDoNotDependOnTheirNumber) {
  const auto few = ClassColors(3);
  const auto many = ClassColors(200);

  for (std::size_t i = 0; i < many.size(); ++i) {
    if (i < few.size()) {
      EXPECT_EQ(few[i], many[i]);
    }
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(many[i], many[j]) << i << " " << j;
    for (const int channel : many[i]) EXPECT_TRUE(channel >= 0 && channel <= 255);
  }
}

}  // namespace
}  // namespace trainer
