#include "trainer_service/work/worker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "serving/exceptions.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace trainer_service {
namespace {

class QueuedJob final : public JobControl {
 public:
  QueuedJob(JobQueue& queue, Job job) : queue_(queue), job_(std::move(job)) {}

  Job& job() override { return job_; }
  absl::Status Changed(bool durable) override { return queue_.Update(job_, durable); }
  bool should_end() const override { return queue_.cancelled() || queue_.stopping(); }
  absl::StatusOr<Job> Submit(const JobRequest& request) override { return queue_.Submit(request); }
  void Pause(absl::Duration duration) override { queue_.Pause(duration); }

 private:
  JobQueue& queue_;
  Job job_;
};

}  // namespace

Worker::Worker(JobQueue& queue, Run run, serving::Clock& clock, serving::Metrics& metrics)
    : queue_(queue), run_(std::move(run)), clock_(clock), metrics_(metrics) {
  for (const char* end : {"better", "not_better", "undecided", "failed", "cancelled"}) {
    metrics_.Get(kJobsEnded, {end});
  }
  metrics_.Get(kJobRunning).Set(0);
  metrics_.Get(kJobSeconds);
  thread_ = std::thread([this] { Work(); });
}

void Worker::Work() {
  while (std::optional<Job> job = queue_.Take()) {
    metrics_.Get(kJobRunning).Set(1);
    WorkOn(*std::move(job));
    metrics_.Get(kJobRunning).Set(0);
  }
}

void Worker::WorkOn(Job job) {
  const bool goes_on = job.state != JobState::kQueued;
  if (job.started_ms == 0) job.started_ms = absl::ToUnixMillis(clock_.Now());
  serving::LogLine(goes_on ? "job.resumed" : "job.started")
      .Str("job", job.id)
      .Int("project", static_cast<std::int64_t>(job.project))
      .Str("kind", std::string(model_store::NameOf(job.kind)))
      .Str("state", std::string(NameOf(job.state)))
      .Str("requested_by", job.requested_by);
  QueuedJob control(queue_, std::move(job));
  const absl::Status status = serving::CatchAll("train", [&] { return run_(control); });
  if (absl::IsCancelled(status) && !queue_.cancelled()) {
    // The process stops; the file says where the job is.
    serving::LogLine("job.paused").Str("job", control.job().id);
    return;
  }
  End(status, control.job());
}

void Worker::End(const absl::Status& status, Job job) {
  if (absl::IsCancelled(status)) {
    job.state = JobState::kCancelled;
    job.message = "was cancelled";
  } else if (!status.ok()) {
    job.state = JobState::kFailed;
    job.message = text::ToUtf8(text::StdView(status.message()));
  }
  job.ended_ms = absl::ToUnixMillis(clock_.Now());
  const std::string end(job.verdict ? NameOf(job.verdict->outcome) : NameOf(job.state));
  metrics_.Get(kJobsEnded, {end}).Increment();
  // A clock that was set back gives no negative time.
  const auto took = std::max<std::int64_t>(0, job.ended_ms - job.started_ms);
  metrics_.Get(kJobSeconds).Observe(static_cast<double>(took) / 1000);
  serving::LogLine line("job.ended",
                        status.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning);
  line.Str("job", job.id)
      .Int("project", static_cast<std::int64_t>(job.project))
      .Str("kind", std::string(model_store::NameOf(job.kind)))
      .Str("end", end)
      .Str("message", job.message);
  if (job.verdict) line.Int("version", static_cast<std::int64_t>(job.verdict->version));
  queue_.End(job);
}

}  // namespace trainer_service
