#include "trainer_service/work/job_control.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace trainer_service {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;

class Control final : public JobControl {
 public:
  Job& job() override { return job_; }
  absl::Status Changed(bool) override { return absl::OkStatus(); }
  bool should_end() const override { return cancelled; }
  absl::StatusOr<Job> Submit(const JobRequest&) override {
    return absl::UnimplementedError("no queue");
  }
  void Pause(absl::Duration) override { ++pauses; }

  bool cancelled = false;
  int pauses = 0;

 private:
  Job job_;
};

TEST(RepeatWhilePassingTest, WhatPassesIsTriedAgain) {
  Control control;
  int attempts = 0;
  EXPECT_THAT(
      RepeatWhilePassing(
          absl::Hours(1), control,
          [&] { return ++attempts < 3 ? absl::UnavailableError("away") : absl::OkStatus(); }),
      IsOk());
  EXPECT_EQ(control.pauses, 2);
  EXPECT_THAT(RepeatWhilePassing(absl::Hours(1), control,
                                 [&] { return absl::NotFoundError("no such project"); }),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(control.pauses, 2);
}

// A version that is published would otherwise be nobody's.
TEST(RepeatWhilePassingTest, WhatIsDoneIsDoneThoughTheJobWasCancelledMeanwhile) {
  Control control;
  const auto cancelled_meanwhile = [&](const absl::Status& status) {
    control.cancelled = false;
    return RepeatWhilePassing(absl::Hours(1), control, [&] {
      control.cancelled = true;
      return status;
    });
  };
  EXPECT_THAT(cancelled_meanwhile(absl::OkStatus()), IsOk());
  EXPECT_THAT(cancelled_meanwhile(absl::UnavailableError("away")),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace trainer_service
