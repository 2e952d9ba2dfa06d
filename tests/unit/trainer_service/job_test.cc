#include "trainer_service/jobs/job.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace trainer_service {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

Job Full() {
  return {.id = "17-3fa2c1",
          .number = 17,
          .project = 7,
          .kind = model_store::Kind::kSegmenter,
          .requested_by = "Ann \"O'\" \xff",
          .and_segmenter = true,
          .next = "18-000000",
          .state = JobState::kDone,
          .message = "AP50 0.9",
          .queued_ms = 1,
          .started_ms = 2,
          .ended_ms = 3,
          .images = 4,
          .annotations = 5,
          .verdict = Verdict{.outcome = Outcome::kUndecided,
                             .version = 18'446'744'073'709'551'615U,
                             .old_score = 0.25,
                             .new_score = 0.5,
                             .images_needed = 60},
          .model = "project-7",
          .parent = 2,
          .revision = "0123456789abcdef",
          .left_out = "1 image",
          .starts = 1};
}

TEST(JobTest, IsReadAsItWasWritten) {
  const Job job = Full();

  ASSERT_OK_AND_ASSIGN(const Job read, ParseJob(JobText(job)));

  EXPECT_EQ(read.id, job.id);
  EXPECT_EQ(read.requested_by, "Ann \"O'\" \xEF\xBF\xBD") << "as UTF-8";
  EXPECT_EQ(read.kind, model_store::Kind::kSegmenter);
  EXPECT_TRUE(read.and_segmenter);
  EXPECT_EQ(read.next, "18-000000");
  EXPECT_EQ(read.state, JobState::kDone);
  EXPECT_EQ(read.ended_ms, 3);
  ASSERT_TRUE(read.verdict.has_value());
  EXPECT_EQ(read.verdict->outcome, Outcome::kUndecided);
  EXPECT_EQ(read.verdict->version, job.verdict->version);
  EXPECT_EQ(read.verdict->images_needed, 60u);
  EXPECT_EQ(read.parent, 2u);
  EXPECT_EQ(JobText(read), JobText(job));
}

TEST(JobTest, EachStateAndOutcomeHasAName) {
  for (int i = 0; i <= static_cast<int>(JobState::kCancelled); ++i) {
    Job job = Full();
    job.state = static_cast<JobState>(i);
    ASSERT_OK_AND_ASSIGN(const Job read, ParseJob(JobText(job)));
    EXPECT_EQ(read.state, job.state);
  }
  for (const Outcome outcome : {Outcome::kBetter, Outcome::kNotBetter, Outcome::kUndecided}) {
    EXPECT_EQ(OutcomeOf(NameOf(outcome)), outcome);
  }
  EXPECT_EQ(OutcomeOf("good"), std::nullopt);
}

TEST(JobTest, WhatIsDamagedSaysWhere) {
  const auto damaged = [](const std::string& from, const std::string& to) {
    std::string text = JobText(Full());
    text.replace(text.find(from), from.size(), to);
    return ParseJob(text);
  };
  EXPECT_THAT(ParseJob(""), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseJob("[]"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(damaged("\"done\"", "\"asleep\""),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'state'")));
  EXPECT_THAT(damaged("\"project\":7", "\"project\":-7"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'project'")));
  EXPECT_THAT(damaged("\"format\":1", "\"format\":2"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'format'")));
  EXPECT_THAT(damaged("\"segmenter\"", "\"embedder\""),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'kind'")));
  EXPECT_EQ(damaged("\"kind\":\"segmenter\",", "")->kind, model_store::Kind::kDetector)
      << "a record of an earlier release";
  EXPECT_THAT(damaged("\"undecided\"", "\"perhaps\""),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'verdict.outcome'")));
  EXPECT_THAT(damaged("\"verdict\"", "\"verdikt\""),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'verdict'")))
      << "a job that is done has one";
}

}  // namespace
}  // namespace trainer_service
