#include "trainer_service/work/training_child.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace trainer_service {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

TEST(TrainingLineTest, StepsAndEvaluationsAreProgress) {
  Job job;

  EXPECT_TRUE(TakeTrainingLine(R"({"event":"step","step":5,"steps":40,)"
                               R"("losses":{"classes":0.5,"boxes":0.25},"seconds_left":9})",
                               &job));
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"evaluation","step":5,"ap":0.75})", &job));
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"start","message":"rtmdet-tiny: 8 images"})", &job));

  EXPECT_EQ(job.progress.step, 5u);
  EXPECT_EQ(job.progress.steps, 40u);
  EXPECT_EQ(job.progress.loss, 0.75);
  EXPECT_EQ(job.progress.score, 0.75);
  EXPECT_EQ(job.progress.remaining_s, 9);
  EXPECT_EQ(job.message, "rtmdet-tiny: 8 images");
}

TEST(TrainingLineTest, ASegmenterTellsItsIouAndThatItEncodes) {
  Job job;
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"evaluation","step":5,"iou":0.5})", &job));
  EXPECT_EQ(job.progress.score, 0.5);
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"encoding","message":"encoded 3 of 8 images"})", &job));
  EXPECT_EQ(job.message, "encoded 3 of 8 images");
}

TEST(TrainingLineTest, OtherLinesChangeNothing) {
  Job job;
  job.message = "trains";
  for (const char* line :
       {"", "text", "[]", R"({"event":7})", R"({"event":"evaluation","ap":null})"}) {
    EXPECT_FALSE(TakeTrainingLine(line, &job)) << line;
  }
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"step","step":-3,"steps":1e300})", &job));
  EXPECT_EQ(job.progress.step, 0u);
  EXPECT_EQ(job.progress.steps, 4294967295u);
  EXPECT_EQ(job.message, "trains");
}

TEST(TrainingLineTest, WhatWasSavedStartsAnew) {
  Job job;
  job.starts = 3;
  EXPECT_TRUE(TakeTrainingLine(R"({"event":"saved","step":5})", &job));
  EXPECT_EQ(job.starts, 1) << "the one that saved";
}

TEST(ComparisonTest, TellsHowFarItIs) {
  Job job;
  EXPECT_TRUE(TakeComparisonLine(R"({"event":"compared","images":3,"of":8})", &job));
  EXPECT_THAT(job.message, HasSubstr("3 of 8 images"));
  EXPECT_FALSE(TakeComparisonLine(R"({"outcome":"better"})", &job));
}

TEST(ComparisonTest, IsAVerdict) {
  ASSERT_OK_AND_ASSIGN(const model_store::Verdict verdict,
                       ReadComparison(R"({"outcome":"not_better","reason":"AP50 0.4, was 0.5",)"
                                      R"("old_score":0.5,"new_score":0.4,"images_needed":9})"));

  EXPECT_EQ(verdict.outcome, model_store::Verdict::Outcome::kNotBetter);
  EXPECT_EQ(verdict.reason, "AP50 0.4, was 0.5");
  EXPECT_EQ(verdict.old_score, 0.5);
  EXPECT_EQ(verdict.new_score, 0.4);
  EXPECT_EQ(verdict.images_needed, 0u) << "it is decided";
  EXPECT_EQ(
      ReadComparison(R"({"outcome":"undecided","reason":"few","images_needed":60})")->images_needed,
      60u);
}

TEST(ComparisonTest, AnythingElseIsNone) {
  for (const char* bad : {"", "better", R"({"outcome":"good","reason":"x"})",
                          R"({"outcome":"better"})", R"({"outcome":"better","reason":""})"}) {
    EXPECT_THAT(ReadComparison(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("said no verdict")))
        << bad;
  }
}

}  // namespace
}  // namespace trainer_service
