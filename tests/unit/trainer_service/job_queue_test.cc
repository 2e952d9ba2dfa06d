#include "trainer_service/jobs/job_queue.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "serving/metrics.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace fs = std::filesystem;

constexpr model_store::Kind kSegmenter = model_store::Kind::kSegmenter;

class JobQueueTest : public testing::Test {
 protected:
  JobQueueTest() { Reopen(); }

  // As a restart does.
  void Reopen() {
    queue_.reset();
    auto folders = JobFolders::Open(folder_.path());
    ASSERT_THAT(folders, IsOk());
    auto queue = JobQueue::Open(options_, *std::move(folders), clock_, metrics_);
    ASSERT_THAT(queue, IsOk());
    queue_ = *std::move(queue);
  }
  Job Submit(std::uint64_t project) {
    const auto job = queue_->Submit({.project = project, .requested_by = "test"});
    EXPECT_THAT(job, IsOk());
    return job.ok() ? *job : Job();
  }
  // The next job runs and ends so.
  Job TakeAndEnd(JobState state) {
    Job job = *queue_->Take();
    job.state = state;
    if (state == JobState::kDone) job.verdict = Verdict{.version = 1};
    job.ended_ms = absl::ToUnixMillis(clock_.Now());
    queue_->End(job);
    return job;
  }
  std::vector<std::uint64_t> Projects() const {
    std::vector<std::uint64_t> projects;
    for (const Job& job : queue_->List(0, 100)) projects.push_back(job.project);
    return projects;
  }

  JobQueueOptions options_{.capacity = 3, .keep_jobs = 2, .min_interval = absl::Minutes(1)};
  duet_testing::TempDir folder_;
  duet_testing::FakeClock clock_;
  serving::Metrics metrics_;
  std::unique_ptr<JobQueue> queue_;
};

TEST_F(JobQueueTest, AProjectHasOneJobAtATime) {
  const Job first = Submit(7);

  EXPECT_EQ(Submit(7).id, first.id);
  EXPECT_NE(Submit(8).id, first.id);
  EXPECT_EQ(queue_->Take()->id, first.id);
  EXPECT_EQ(Submit(7).id, first.id) << "while it runs";
  EXPECT_EQ(first.model, "project-7");
}

TEST_F(JobQueueTest, EachKindHasJobsOfItsOwn) {
  const Job detector = Submit(7);
  ASSERT_OK_AND_ASSIGN(const Job segmenter, queue_->Submit({.project = 7, .kind = kSegmenter}));

  EXPECT_NE(segmenter.id, detector.id);
  EXPECT_EQ(segmenter.kind, kSegmenter);
  EXPECT_EQ(segmenter.model, "project-7");
  EXPECT_EQ(queue_->Submit({.project = 7, .kind = kSegmenter})->id, segmenter.id);
  EXPECT_EQ(TakeAndEnd(JobState::kDone).id, detector.id);
  EXPECT_THAT(queue_->Submit({.project = 7}), StatusIs(absl::StatusCode::kResourceExhausted,
                                                       HasSubstr("the detector of project 7")));
  EXPECT_EQ(TakeAndEnd(JobState::kDone).id, segmenter.id);
  Reopen();
  EXPECT_EQ(queue_->List(7, 1).front().kind, kSegmenter);
}

TEST_F(JobQueueTest, WhoJoinsAJobThatWaitsMayWantTheSegmenterToo) {
  const Job alone = Submit(7);
  ASSERT_OK_AND_ASSIGN(const Job joined, queue_->Submit({.project = 7, .and_segmenter = true}));
  EXPECT_EQ(joined.id, alone.id);
  EXPECT_TRUE(joined.and_segmenter);
  EXPECT_TRUE(queue_->Submit({.project = 7})->and_segmenter) << "somebody has asked for it";
  Reopen();
  EXPECT_TRUE(queue_->Take()->and_segmenter);

  Submit(8);
  TakeAndEnd(JobState::kDone);
  (void)queue_->Take();
  EXPECT_FALSE(queue_->Submit({.project = 8, .and_segmenter = true})->and_segmenter)
      << "its worker has begun with what it was";
}

TEST_F(JobQueueTest, AFullQueueRefuses) {
  for (int project = 1; project <= 3; ++project) Submit(static_cast<std::uint64_t>(project));
  EXPECT_EQ(metrics_.Get(kJobsWaiting).Value(), 3);

  EXPECT_THAT(queue_->Submit({.project = 4}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--queue_size")));
  Job running = *queue_->Take();
  running.state = JobState::kFreezing;
  EXPECT_THAT(queue_->Update(running, true), IsOk());
  EXPECT_THAT(queue_->Submit({.project = 4}), IsOk()) << "one that runs doesn't wait";
}

TEST_F(JobQueueTest, BetweenTwoTrainingsOfAProjectIsTheInterval) {
  Submit(7);
  TakeAndEnd(JobState::kFailed);

  EXPECT_THAT(queue_->Submit({.project = 7}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--min_interval_s is 60")));
  EXPECT_THAT(queue_->Submit({.project = 8}), IsOk());
  TakeAndEnd(JobState::kCancelled);
  EXPECT_THAT(queue_->Submit({.project = 8}), IsOk()) << "nobody waits because of a cancelled one";
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(queue_->Submit({.project = 7}), IsOk());
}

TEST_F(JobQueueTest, AClockThatWasSetBackHoldsNobodyUp) {
  Submit(7);
  TakeAndEnd(JobState::kDone);

  clock_.Advance(-absl::Hours(24));

  EXPECT_THAT(queue_->Submit({.project = 7}), IsOk());
}

TEST_F(JobQueueTest, TheOrderIsThatOfTheNumbersWhateverTheClockSays) {
  Submit(1);
  clock_.Advance(-absl::Hours(24));
  Submit(2);
  Reopen();
  Submit(3);

  EXPECT_THAT(Projects(), ElementsAre(3, 2, 1));
  EXPECT_EQ(queue_->Take()->project, 1u);
}

TEST_F(JobQueueTest, ARestartGoesOnWithWhatRanFirst) {
  Submit(1);
  Submit(2);
  ASSERT_THAT(queue_->Cancel(queue_->List(2, 1).front().id), IsOk());
  Submit(3);
  Job job = *queue_->Take();
  EXPECT_EQ(job.project, 1u);
  job.state = JobState::kTraining;
  job.starts = 2;
  ASSERT_THAT(queue_->Update(job, /*durable=*/true), IsOk());

  Reopen();

  const Job again = *queue_->Take();
  EXPECT_EQ(again.id, job.id);
  EXPECT_EQ(again.state, JobState::kTraining);
  EXPECT_EQ(again.starts, 2);
  EXPECT_FALSE(queue_->cancelled());
}

TEST_F(JobQueueTest, TheOldestEndedJobsGoWithTheirFolders) {
  for (int project = 1; project <= 3; ++project) {
    Submit(static_cast<std::uint64_t>(project));
    TakeAndEnd(JobState::kDone);
  }

  EXPECT_THAT(Projects(), ElementsAre(3, 2));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path() + "/jobs"), {}), 2);
  Reopen();
  EXPECT_THAT(Projects(), ElementsAre(3, 2));
}

TEST_F(JobQueueTest, WhatAJobWorkedWithIsGoneAtItsEnd) {
  const Job job = Submit(7);
  const std::string work = queue_->folders().job_folder(job.id) + "/train";
  fs::create_directories(work);

  TakeAndEnd(JobState::kFailed);

  EXPECT_FALSE(fs::exists(work));
  fs::create_directories(work);
  Reopen();
  EXPECT_FALSE(fs::exists(work)) << "also if the process was killed just before";
}

TEST_F(JobQueueTest, WhatAKilledProcessLeftHalfWrittenIsGone) {
  const std::string left = folder_.Write("projects/7/revisions/0123/train.json.17.0.tmp", "{");
  const std::string kept = folder_.Write("projects/7/revisions/0123/train.json", "{}");

  Reopen();

  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(kept));
}

TEST_F(JobQueueTest, DamagedAndForeignRecordsAreFailedJobs) {
  const Job job = Submit(7);
  folder_.Write("jobs/" + job.id + "/job.json", "{\"format\":1");
  folder_.Write("jobs/9-abc/job.json", JobText(job));
  folder_.Write("jobs/8-abc/train/half", "");
  folder_.Write("next", "one");

  Reopen();

  const std::vector<Job> jobs = queue_->List(0, 10);
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_EQ(jobs[1].state, JobState::kFailed);
  EXPECT_THAT(jobs[1].message, HasSubstr("job.json: is not a job's record"));
  EXPECT_EQ(jobs[0].id, "9-abc");
  EXPECT_THAT(jobs[0].message, HasSubstr("the record of another job"));
  EXPECT_FALSE(fs::exists(folder_.path() + "/jobs/8-abc")) << "a job that nobody knows of";
  EXPECT_GT(Submit(8).number, 9u);
}

TEST_F(JobQueueTest, AWatcherIsToldEachChangeAndTheEnd) {
  const Job job = Submit(7);
  std::uint64_t seen = 0;
  const auto nobody = [] { return true; };
  ASSERT_OK_AND_ASSIGN(const Job first, queue_->Watch(job.id, &seen, nobody));
  EXPECT_EQ(first.state, JobState::kQueued);
  EXPECT_THAT(queue_->Watch(job.id, &seen, nobody), StatusIs(absl::StatusCode::kCancelled));

  std::thread ends([&] { TakeAndEnd(JobState::kDone); });
  ASSERT_OK_AND_ASSIGN(const Job last, queue_->Watch(job.id, &seen, [] { return false; }));
  ends.join();

  EXPECT_EQ(last.state, JobState::kDone);
  queue_->Stop();
  EXPECT_THAT(queue_->Watch(job.id, &seen, [] { return false; }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(queue_->Submit({.project = 8}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(queue_->Take().has_value());
}

TEST_F(JobQueueTest, ForgettingIsRefusedWhileAJobRuns) {
  Submit(7);
  folder_.Write("projects/7/images/a.jpg", "12345");
  EXPECT_THAT(queue_->Forget(7), StatusIs(absl::StatusCode::kFailedPrecondition));
  TakeAndEnd(JobState::kDone);

  ASSERT_OK_AND_ASSIGN(const JobQueue::Forgotten forgotten, queue_->Forget(7));

  EXPECT_EQ(forgotten.jobs, 1u);
  EXPECT_GE(forgotten.bytes, 5u);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/projects/7/images"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/deleted"));
  EXPECT_THAT(queue_->List(0, 10), IsEmpty());
  EXPECT_THAT(queue_->Forget(99), IsOk()) << "there is nothing of it";

  // It is remembered when, so that what is annotated already begins no training by itself.
  EXPECT_GT(queue_->ForgottenAt(7), 0);
  EXPECT_EQ(queue_->ForgottenAt(8), 0);
}

// What a killed process has only renamed.
TEST_F(JobQueueTest, WhatWasAboutToBeDeletedGoesWithTheNextStart) {
  queue_.reset();
  folder_.Write("deleted/1/images/a.jpg", "12345");
  Reopen();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/deleted"));
}

TEST_F(JobQueueTest, OneProcessAFolder) {
  EXPECT_THAT(JobFolders::Open(folder_.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another trainer")));
}

}  // namespace
}  // namespace trainer_service
