#include "gateway/jobs/background_jobs.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <exception>
#include <utility>

#include "gateway/jobs/metrics.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "tracing/span.h"

namespace gateway::jobs {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::awaitable;

// Ended jobs that GET /jobs still knows.
constexpr std::size_t kMaxEnded = 50;
// Poll interval while yielding to interactive requests.
constexpr auto kYieldPoll = absl::Milliseconds(20);

}  // namespace

BackgroundJobs::BackgroundJobs(asio::any_io_executor executor, prelabel::Predictor& predictor,
                               label_studio_api::LabelStudioApi& api, serving::Metrics& metrics,
                               const BackgroundOptions& options, IsForeign is_foreign)
    : executor_(std::move(executor)),
      predictor_(predictor),
      api_(api),
      metrics_(metrics),
      options_(options),
      is_foreign_(std::move(is_foreign)),
      wake_(executor_) {}

std::string BackgroundJobs::KeyOf(const prelabel::PredictContext& predict, std::int64_t task_id) {
  return text::StrCat(task_id, "\n", predict.model_version, "\n", predict.label_studio.url);
}

BackgroundJobs::Added BackgroundJobs::Add(const prelabel::PredictContext& predict,
                                          std::string_view project_id,
                                          const std::vector<const label_studio::Task*>& tasks,
                                          const RequestClaims& claims) {
  const auto added = std::make_shared<Job>(predict, project_id, claims_->NewOwner());
  const std::lock_guard lock(mutex_);
  if (stopping_) return {};
  std::size_t project_bytes = ProjectBytes();
  const bool is_counted = std::any_of(running_.begin(), running_.end(), [&](const JobPtr& other) {
    return other->project == predict.project;
  });
  if (!is_counted) project_bytes += predict.project->memory_bytes();
  std::size_t begun = 0;
  for (const label_studio::Task* task : tasks) {
    std::string key = KeyOf(predict, task->id);
    const std::size_t bytes = MemoryOf(*task) + sizeof(Item) + 2 * key.size();
    if (waiting_tasks_ >= options_.max_tasks ||
        waiting_bytes_ + project_bytes + bytes > options_.max_bytes) {
      break;
    }
    ++begun;
    // The request no longer has the claim: the task was answered meanwhile.
    if (!claims_->HandOver(key, claims.owner(), added->owner)) continue;
    ++waiting_tasks_;
    waiting_bytes_ += bytes;
    added->waiting.push_back({.task = Detached(*task), .key = std::move(key), .bytes = bytes});
  }
  added->total = added->waiting.size();
  if (added->total == 0) return {.begun = begun};
  if (running_.empty()) last_begun_ = absl::Now();
  running_.push_back(added);
  Count();
  serving::LogLine("push.started")
      .Str("job", added->id)
      .Str("request_id", added->request_id)
      .Str("project", added->project_id)
      .Int("tasks", static_cast<std::int64_t>(added->total));
  StartWorkers();
  return {.job_id = added->id, .added = added->total, .begun = begun};
}

void BackgroundJobs::AnsweredElsewhere(const prelabel::PredictContext& predict,
                                       std::int64_t task_id) {
  claims_->Release(KeyOf(predict, task_id));
}

json::array BackgroundJobs::Describe() const {
  json::array jobs;
  const std::lock_guard lock(mutex_);
  std::vector<JobPtr> running(running_.begin(), running_.end());
  std::sort(running.begin(), running.end(),
            [](const JobPtr& a, const JobPtr& b) { return a->owner > b->owner; });
  for (const JobPtr& job : running) jobs.push_back(gateway::jobs::Describe(*job));
  for (const JobPtr& job : ended_) jobs.push_back(gateway::jobs::Describe(*job));
  return jobs;
}

bool BackgroundJobs::Cancel(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const JobPtr& job) { return job->id == job_id; });
  if (found == running_.end()) return false;
  End(*found, State::kCancelled);
  return true;
}

void BackgroundJobs::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
}

void BackgroundJobs::Drain(absl::Time deadline) {
  Stop();
  std::unique_lock lock(mutex_);
  idle_.wait_until(lock, absl::ToChronoTime(deadline), [this] { return in_work_ == 0; });
  while (!running_.empty()) {
    End(running_.front(), running_.front()->waiting.empty() && running_.front()->in_work == 0
                              ? State::kDone
                              : State::kDropped);
  }
}

void BackgroundJobs::StartWorkers() {
  const std::size_t wanted = std::min<std::size_t>(static_cast<std::size_t>(options_.concurrency),
                                                   waiting_tasks_ + in_work_);
  while (static_cast<std::size_t>(workers_) < wanted) {
    ++workers_;
    // Posted, since co_spawn may run the worker at once, which locks mutex_.
    asio::post(executor_, [this] {
      asio::co_spawn(asio::make_strand(executor_), Work(), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);  // a bug: nothing in Work throws
      });
    });
  }
}

awaitable<void> BackgroundJobs::Work() {
  for (;;) {
    std::optional<Assignment> assignment;
    {
      const std::lock_guard lock(mutex_);
      assignment = Take();
      if (!assignment) {
        --workers_;
        co_return;
      }
    }
    auto trying = Try(*assignment->job, assignment->project, assignment->item);
    const Outcome outcome = co_await std::move(trying);
    const std::lock_guard lock(mutex_);
    Settle(*std::move(assignment), outcome);
  }
}

std::optional<BackgroundJobs::Assignment> BackgroundJobs::Take() {
  if (stopping_) return std::nullopt;
  const absl::Time now = absl::Now();
  if (YieldsToInteractive(now)) {
    StartWorkersAt(now + kYieldPoll);
    return std::nullopt;
  }
  absl::Time next = absl::InfiniteFuture();
  for (std::size_t turns = running_.size(); turns > 0; --turns) {
    const JobPtr job = running_.front();
    running_.pop_front();
    running_.push_back(job);
    while (!job->waiting.empty() && !claims_->Has(job->waiting.front().key, job->owner)) {
      ++job->already_there;
      DropWaiting(*job, job->waiting.front());
      job->waiting.pop_front();
    }
    if (job->waiting.empty()) {
      if (job->in_work == 0) End(job, State::kDone);
      continue;
    }
    if (job->resume_at > now) {
      next = std::min(next, job->resume_at);
      continue;
    }
    Assignment assignment{job, job->project, std::move(job->waiting.front())};
    job->waiting.pop_front();
    --waiting_tasks_;
    waiting_bytes_ -= assignment.item.waiting_bytes();
    ++job->in_work;
    ++in_work_;
    last_begun_ = now;
    Count();
    return assignment;
  }
  if (next != absl::InfiniteFuture()) StartWorkersAt(next);
  return std::nullopt;
}

bool BackgroundJobs::YieldsToInteractive(absl::Time now) const {
  return *interactive_ > 0 && !running_.empty() && now - last_begun_ < options_.longest_yield;
}

// Idle workers exit; a timer restarts them. There is one timer for all of them: with one each, they
// would double in number every time it fires.
void BackgroundJobs::StartWorkersAt(absl::Time time) {
  if (time >= wakes_at_) return;
  wakes_at_ = time;
  wake_.expires_after(absl::ToChronoMilliseconds(time - absl::Now()) +
                      std::chrono::milliseconds(1));
  wake_.async_wait([this, time](const boost::system::error_code&) {
    const std::lock_guard lock(mutex_);
    if (wakes_at_ != time) return;  // an earlier one took its place
    ++wakeups_;
    wakes_at_ = absl::InfiniteFuture();
    if (stopping_) return;
    const absl::Time now = absl::Now();
    if (!YieldsToInteractive(now)) return StartWorkers();
    StartWorkersAt(now + kYieldPoll);
  });
}

std::size_t BackgroundJobs::ProjectBytes() const {
  absl::flat_hash_set<const prelabel::Project*> counted;
  std::size_t bytes = 0;
  for (const JobPtr& job : running_) {
    if (counted.insert(job->project.get()).second) bytes += job->project->memory_bytes();
  }
  return bytes;
}

bool BackgroundJobs::IsWanted(const Job& job, const Item& item) const {
  const std::lock_guard lock(mutex_);
  return job.state == State::kRunning && claims_->Has(item.key, job.owner);
}

awaitable<BackgroundJobs::Outcome> BackgroundJobs::Try(const Job& job,
                                                       std::shared_ptr<prelabel::Project> project,
                                                       Item& item) {
  ++item.tries;
  const bool last_try = item.tries >= options_.max_tries;
  const auto failed = [last_try](const absl::Status& status) {
    return Outcome{prelabel::IsRetryable(status) && !last_try ? Ending::kTryAgain : Ending::kFailed,
                   status};
  };
  if (item.prediction.json.empty()) {
    const auto models = prelabel::Serving(job.profile, job.model_name);
    // A name's version that has just gone may come back, or another one.
    if (!models) co_return failed(absl::UnavailableError("it isn't known which models serve"));
    if (project->ModelVersion(*models) != job.model_version) {
      co_return Outcome{Ending::kEndsJob,
                        absl::FailedPreconditionError(
                            "another model is loaded now; Label Studio will ask for its answers")};
    }
    const tracing::Span span(job.traceparent, "background task");
    serving::RequestContext request(job.request_id, span.traceparent());
    request.NoteStr("project", job.project_id);
    prelabel::PredictContext work{
        .profile = job.profile,
        .project = project,
        .project_id = job.project_id,
        .project_created = job.project_created,
        .model_name = job.model_name,
        .model_version = job.model_version,
        .label_studio = job.label_studio,
        .call = {.deadline = absl::ToChronoTime(absl::Now() + options_.task_deadline),
                 .request_id = job.request_id,
                 .traceparent = span.traceparent(),
                 .priority = serving::Priority::kPrefetch},
        .request = request};
    auto predicting = predictor_.Predict(item.task, work);
    auto prediction = co_await std::move(predicting);
    if (!prediction.ok()) co_return failed(prediction.status());
    item.prediction = *std::move(prediction);
  }
  if (!IsWanted(job, item)) co_return Outcome{Ending::kNotWanted, absl::OkStatus()};
  // Its tasks have the numbers of other tasks there. This may be known since the job began.
  if (job.label_studio.trusted && is_foreign_(job.project_id, job.project_created)) {
    co_return Outcome{Ending::kEndsJob,
                      absl::FailedPreconditionError(text::StrCat(
                          "project ", job.project_id, " isn't the one of ", job.label_studio.url))};
  }
  auto storing = api_.StorePrediction(job.label_studio, item.task.id, item.prediction.json,
                                      item.prediction.model_version);
  const absl::Status stored = co_await std::move(storing);
  if (stored.ok()) co_return Outcome{Ending::kStored, stored};
  if (absl::IsAlreadyExists(stored)) co_return Outcome{Ending::kAlreadyThere, stored};
  if (absl::IsUnauthenticated(stored) || absl::IsPermissionDenied(stored)) {
    co_return Outcome{Ending::kEndsJob, stored};
  }
  co_return failed(stored);
}

// True if the task has its prediction now.
bool BackgroundJobs::CountEnding(Job& job, Ending ending) {
  switch (ending) {
    case Ending::kStored:
      ++job.stored;
      metrics_.Get(kPushed, {"stored"}).Increment();
      return true;
    case Ending::kAlreadyThere:
    case Ending::kNotWanted:
      ++job.already_there;
      metrics_.Get(kPushed, {"already_there"}).Increment();
      return true;
    case Ending::kFailed:
      ++job.failed;
      metrics_.Get(kPushed, {"failed"}).Increment();
      return false;
    case Ending::kTryAgain:
      metrics_.Get(kPushed, {"tried_again"}).Increment();
      return false;
    case Ending::kEndsJob:
      return false;
  }
  return false;
}

void BackgroundJobs::Settle(Assignment assignment, const Outcome& outcome) {
  Job& job = *assignment.job;
  Item& item = assignment.item;
  --job.in_work;
  if (--in_work_ == 0) idle_.notify_all();
  const bool succeeded = CountEnding(job, outcome.ending);
  if (!outcome.status.ok() && !succeeded) {
    job.error = text::StrCat("task ", item.task.id, ": ", outcome.status.message());
    serving::LogLine("push.task_failed", serving::LogLevel::kWarning)
        .Str("job", job.id)
        .Str("request_id", job.request_id)
        .Str("project", job.project_id)
        .Int("task_id", item.task.id)
        .Int("try", item.tries)
        .Bool("again", outcome.ending == Ending::kTryAgain)
        .Status(outcome.status);
  }
  if (succeeded) {
    job.pauses = 0;
    job.failing_since = absl::InfiniteFuture();
  }
  if (outcome.ending == Ending::kTryAgain && job.state == State::kRunning) {
    // It goes to the end: a task that fails for a reason of its own must not hold up the others.
    ++waiting_tasks_;
    // A prediction that can't be stored and doesn't fit into memory is computed again later.
    if (waiting_bytes_ + item.waiting_bytes() > options_.max_bytes)
      item.prediction = prelabel::Prediction();
    waiting_bytes_ += item.waiting_bytes();
    job.waiting.push_back(std::move(item));
    Pause(job);
  } else {
    claims_->Release(item.key, job.owner);
  }
  if (job.state != State::kRunning) return;
  const absl::Duration failing = absl::Now() - job.failing_since;
  if (outcome.ending == Ending::kEndsJob || failing >= options_.give_up_after) {
    if (outcome.ending == Ending::kEndsJob) ++job.failed;
    End(assignment.job, State::kFailed);
  } else if (job.waiting.empty() && job.in_work == 0) {
    End(assignment.job, State::kDone);
  }
  Count();
}

void BackgroundJobs::Pause(Job& job) {
  const absl::Time now = absl::Now();
  job.failing_since = std::min(job.failing_since, now);
  if (job.resume_at > now) return;  // another task's failure has just paused it
  job.resume_at = now + std::min(options_.longest_pause,
                                 options_.first_pause * (1 << std::min(job.pauses, 20)));
  ++job.pauses;
}

void BackgroundJobs::DropWaiting(const Job& job, const Item& item) {
  --waiting_tasks_;
  waiting_bytes_ -= item.waiting_bytes();
  claims_->Release(item.key, job.owner);
}

void BackgroundJobs::End(const JobPtr& ended, State state) {
  const JobPtr job = ended;  // outlives the erasure
  job->project = nullptr;
  job->state = state;
  job->finished = absl::Now();
  const std::size_t left = job->waiting.size();
  for (const Item& item : job->waiting) DropWaiting(*job, item);
  job->waiting.clear();
  std::erase(running_, job);
  ended_.push_front(job);
  if (ended_.size() > kMaxEnded) ended_.pop_back();
  Count();
  serving::LogLine("push.ended",
                   state == State::kFailed ? serving::LogLevel::kWarning : serving::LogLevel::kInfo)
      .Str("job", job->id)
      .Str("request_id", job->request_id)
      .Str("project", job->project_id)
      .Str("state", NameOf(state))
      .Int("stored", static_cast<std::int64_t>(job->stored))
      .Int("already_there", static_cast<std::int64_t>(job->already_there))
      .Int("failed", static_cast<std::int64_t>(job->failed))
      .Int("left", static_cast<std::int64_t>(left))
      .Num("elapsed_s", absl::ToDoubleSeconds(job->finished - job->created));
}

void BackgroundJobs::Count() {
  metrics_.Get(kPushWaiting).Set(static_cast<double>(waiting_tasks_));
}

}  // namespace gateway::jobs
