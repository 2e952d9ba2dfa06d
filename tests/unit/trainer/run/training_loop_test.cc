// In which order a training learns, measures and saves, and how it ends.
#include "trainer/run/training_loop.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

class TrainingLoopTest : public testing::Test {
 protected:
  TrainingLoop loop_{
      .steps = 4,
      .save_every = absl::InfiniteDuration(),
      .stop_requested = [this] { return state_.step == stop_at_; },
      .evaluation_is_due =
          [this] { return state_.step % 2 == 0 && state_.evaluated_step != state_.step; },
      .step =
          [this] {
            ++state_.step;
            log_ += 's';
            return absl::OkStatus();
          },
      .evaluate =
          [this] {
            log_ += 'e';
            state_.evaluated_step = state_.step;
            ++state_.evaluations_since_best;
            return absl::OkStatus();
          },
      .save =
          [this] {
            log_ += 'w';
            return absl::OkStatus();
          }};
  std::int64_t stop_at_ = -1;
  RunState state_;
  std::string log_;
};

TEST_F(TrainingLoopTest, MeasuresAndSavesBetweenStepsAndAfterTheLast) {
  EXPECT_EQ(RunLoop(loop_, state_).value(), "Finished all 4 steps.");
  EXPECT_EQ(log_, "ssewssew");
}

TEST_F(TrainingLoopTest, SavesAsOftenAsWasAskedFor) {
  loop_.save_every = absl::ZeroDuration();
  EXPECT_EQ(RunLoop(loop_, state_).value(), "Finished all 4 steps.");
  EXPECT_EQ(log_, "swswewswswew");
}

TEST_F(TrainingLoopTest, EndsWhenNothingGetsBetter) {
  loop_.patience = 1;
  loop_.score = "the IoU";
  EXPECT_EQ(RunLoop(loop_, state_).value(),
            "Ended after step 2 of 4: the IoU has not become better for 1 "
            "evaluations.");
}

TEST_F(TrainingLoopTest, SavesWhenItIsToStopEvenWhileItMeasures) {
  stop_at_ = 1;
  EXPECT_THAT(RunLoop(loop_, state_),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("stopped after step 1 of 4")));
  EXPECT_EQ(log_, "sw");

  stop_at_ = -1;
  loop_.evaluate = [] { return absl::CancelledError(); };
  EXPECT_THAT(RunLoop(loop_, state_),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("stopped after step 2 of 4")));
  EXPECT_EQ(log_, "swsw");
}

TEST_F(TrainingLoopTest, EndsWithTheErrorOfAStep) {
  loop_.step = [] { return absl::DataLossError("broken"); };
  EXPECT_THAT(RunLoop(loop_, state_), StatusIs(absl::StatusCode::kDataLoss, "broken"));
  EXPECT_EQ(log_, "");
}

TEST(SkippedBatchesTest, TooManyInARowEndTheTraining) {
  SkippedBatches skipped;
  RunState state;
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i < SkippedBatches::kMostInARow; ++i) {
      ASSERT_OK_AND_ASSIGN(const auto event, skipped.Add("step 3: the loss is nan", &state));
      EXPECT_EQ(event.at("message"), "step 3: the loss is nan; the batch is skipped");
    }
    if (round == 0) skipped.Learned();
  }
  EXPECT_THAT(skipped.Add("step 3", &state),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("so were the 9 batches before"), HasSubstr("--lr"))));
  EXPECT_EQ(state.skipped_batches, 19);
}

}  // namespace
}  // namespace trainer
