#include "gateway/jobs/embedding_runs.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <utility>

#include "async/concurrency.h"
#include "gateway/jobs/metrics.h"
#include "serving/log.h"
#include "serving/request_context.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace gateway::jobs {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::awaitable;
using prelabel::EmbeddedAhead;

// Of ended runs, and of a run's failures, that are remembered.
constexpr std::size_t kMaxEnded = 100;
constexpr std::size_t kMaxFailures = 20;
constexpr std::size_t kLongestError = 500;

std::string Short(const absl::Status& status) {
  return std::string(text::Utf8Prefix(text::StdView(status.message()), kLongestError));
}

}  // namespace

EmbeddingRuns::EmbeddingRuns(asio::any_io_executor executor, prelabel::Predictor& predictor,
                             label_studio_api::LabelStudioApi& api, serving::Metrics& metrics,
                             const EmbeddingOptions& options)
    : strand_(asio::make_strand(std::move(executor))),
      predictor_(predictor),
      api_(api),
      metrics_(metrics),
      options_(options) {}

absl::StatusOr<json::object> EmbeddingRuns::Start(EmbeddingRequest request) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the gateway is stopping");
  RunPtr run = LatestOf(request.key);
  const bool joins = run != nullptr && !run->has_ended();
  if (!joins && waiting_.size() >= options_.max_waiting) {
    return absl::ResourceExhaustedError(
        text::StrCat(waiting_.size(), " projects wait to be embedded; no more are taken"));
  }
  serving::LogLine("audit.embed")
      .Str("who", request.who)
      .Str("request_id", request.request_id)
      .Str("project", request.project_id)
      .Str("profile", request.profile.name)
      .Bool("joins", joins);
  if (joins) return jobs::Describe(*run);
  run = std::make_shared<Run>(std::move(request));
  waiting_.push_back(run);
  Count();
  asio::post(strand_, [this] { BeginNext(); });
  return jobs::Describe(*run);
}

absl::StatusOr<json::object> EmbeddingRuns::Find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const RunPtr run = LatestOf(key);
  if (run == nullptr) {
    return absl::NotFoundError(
        "The project was not embedded since this gateway began; POST begins it, and finds what is "
        "kept.");
  }
  return jobs::Describe(*run);
}

json::array EmbeddingRuns::DescribeAll() const {
  const std::lock_guard lock(mutex_);
  json::array all;
  const bool runs = running_ != nullptr && !running_->has_ended();
  if (runs) all.push_back(jobs::Describe(*running_));
  for (const RunPtr& run : waiting_) all.push_back(jobs::Describe(*run));
  for (const RunPtr& run : ended_) all.push_back(jobs::Describe(*run));
  return all;
}

absl::StatusOr<json::object> EmbeddingRuns::Cancel(const std::string& key, const std::string& who) {
  const std::lock_guard lock(mutex_);
  const RunPtr run = LatestOf(key);
  if (run == nullptr || run->has_ended()) {
    return absl::NotFoundError("Nothing of the project waits to be embedded or is being embedded.");
  }
  serving::LogLine("audit.embed_cancel").Str("who", who).Str("project", run->request.project_id);
  End(run, Run::State::kCancelled);
  return jobs::Describe(*run);
}

void EmbeddingRuns::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  while (!waiting_.empty()) End(waiting_.front(), Run::State::kDropped);
  if (running_ != nullptr && !running_->has_ended()) End(running_, Run::State::kDropped);
}

void EmbeddingRuns::BeginNext() {
  RunPtr run;
  {
    const std::lock_guard lock(mutex_);
    if (running_ != nullptr || waiting_.empty()) return;
    run = waiting_.front();
    waiting_.pop_front();
    running_ = run;
    run->state = Run::State::kRunning;
    run->begun = absl::Now();
    Count();
  }
  asio::co_spawn(strand_, EmbedProject(run),
                 asio::bind_cancellation_slot(run->cancel.slot(), [this](std::exception_ptr) {
                   // An exception is a cancellation: the run has ended.
                   {
                     const std::lock_guard lock(mutex_);
                     running_ = nullptr;
                   }
                   BeginNext();
                 }));
}

awaitable<void> EmbeddingRuns::EmbedProject(RunPtr run) {
  const EmbeddingRequest& request = run->request;
  // The tasks that are left, for several workers on the strand: what one of them waits for holds up
  // no other.
  std::deque<label_studio::Task> left;
  std::int64_t after = 0;   // the id of the last one
  bool is_listing = false;  // one of the workers
  bool listed_all = false;
  asio::steady_timer listed(strand_, asio::steady_timer::time_point::max());  // cancelled then

  const auto list = [&]() -> awaitable<void> {
    for (int tries = 1; IsWanted(*run); ++tries) {
      auto listing = api_.TasksById(request.label_studio, request.project_id,
                                    label_studio_api::WhichTasks::kAll, after, options_.page);
      auto tasks = co_await std::move(listing);
      if (!tasks.ok()) {
        auto pausing = Pause(run, tasks.status(), tries);
        co_await std::move(pausing);
        continue;
      }
      Succeeded(*run);
      listed_all = tasks->empty();
      for (label_studio::Task& task : *tasks) {
        after = std::max(after, task.id);
        left.push_back(std::move(task));
      }
      co_return;
    }
  };
  const std::function<awaitable<void>(std::size_t)> work = [&](std::size_t) -> awaitable<void> {
    while (IsWanted(*run)) {
      if (!left.empty()) {
        const label_studio::Task task = std::move(left.front());
        left.pop_front();
        auto embedding = EmbedTask(run, task);
        co_await std::move(embedding);
      } else if (listed_all) {
        co_return;
      } else if (is_listing) {
        boost::system::error_code ignored;
        co_await listed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      } else {
        is_listing = true;
        auto listing = list();
        co_await std::move(listing);
        is_listing = false;
        listed.cancel();
      }
    }
  };
  const auto workers = static_cast<std::size_t>(options_.in_flight);
  auto all = async::ForEachBounded(workers, workers, work);
  co_await std::move(all);
  const std::lock_guard lock(mutex_);
  if (!run->has_ended()) End(run, Run::State::kDone);
}

awaitable<void> EmbeddingRuns::EmbedTask(RunPtr run, const label_studio::Task& task) {
  const auto successes = [&] {
    const std::lock_guard lock(mutex_);
    return run->tasks_done - run->failed;
  };
  std::int64_t before = 0;  // when this task had failed first
  for (int tries = 1; IsWanted(*run); ++tries) {
    auto trying = Try(run, task);
    const auto embedded = co_await std::move(trying);
    if (absl::IsUnimplemented(embedded.status())) {  // no store any more, so for all tasks
      auto ending = Pause(run, embedded.status(), tries);
      co_await std::move(ending);
      co_return;
    }
    if (tries == 1) before = successes();
    // Where others have succeeded meanwhile, it is this task's own trouble.
    if (!embedded.ok() && prelabel::IsRetryable(embedded.status()) &&
        (tries < options_.max_tries || successes() == before)) {
      metrics_.Get(kEmbedded, {"tried_again"}).Increment();
      auto pausing = Pause(run, embedded.status(), tries);
      co_await std::move(pausing);
      continue;
    }
    Settle(*run, task, embedded);
    co_return;
  }
}

awaitable<absl::StatusOr<EmbeddedAhead>> EmbeddingRuns::Try(const RunPtr& run,
                                                            const label_studio::Task& task) {
  const EmbeddingRequest& request = run->request;
  std::shared_ptr<prelabel::Project> project;
  {
    const std::lock_guard lock(mutex_);
    project = request.project;
  }
  if (project == nullptr) co_return absl::CancelledError("the run has ended");
  serving::RequestContext tracing(request.request_id, "");
  prelabel::PredictContext context{
      .profile = request.profile,
      .project = std::move(project),
      .project_id = request.project_id,
      .project_created = request.project_created,
      .model_name = request.model_name,
      .model_version = "",
      .label_studio = request.label_studio,
      .call = {.deadline = absl::ToChronoTime(absl::Now() + options_.task_deadline),
               .request_id = tracing.request_id(),
               .traceparent = tracing.traceparent(),
               .priority = serving::Priority::kStock,
               .keep = true},
      .request = tracing};
  auto embedding = predictor_.EmbedAhead(task, /*only_where_clicked=*/false, context);
  auto embedded = co_await std::move(embedding);
  co_return embedded;
}

awaitable<bool> EmbeddingRuns::Pause(RunPtr run, absl::Status why, int tries) {
  {
    const std::lock_guard lock(mutex_);
    if (run->has_ended()) co_return false;
    run->error = Short(why);
    const absl::Time now = absl::Now();
    run->failing_since = std::min(run->failing_since, now);
    if (!prelabel::IsRetryable(why) || now - run->failing_since >= options_.give_up_after) {
      End(run, Run::State::kFailed);
      co_return false;
    }
    run->paused = true;
  }
  const absl::Duration pause =
      std::min(options_.longest_pause, options_.first_pause * (1 << std::min(tries - 1, 20)));
  asio::steady_timer timer(strand_, absl::ToChronoMilliseconds(pause));
  co_await timer.async_wait(asio::use_awaitable);
  co_return IsWanted(*run);
}

bool EmbeddingRuns::IsWanted(const Run& run) const {
  const std::lock_guard lock(mutex_);
  return !run.has_ended();
}

void EmbeddingRuns::Succeeded(Run& run) {
  const std::lock_guard lock(mutex_);
  run.failing_since = absl::InfiniteFuture();
  run.paused = false;
}

void EmbeddingRuns::Settle(Run& run, const label_studio::Task& task,
                           const absl::StatusOr<EmbeddedAhead>& embedded) {
  const std::lock_guard lock(mutex_);
  if (run.has_ended()) return;
  ++run.tasks_done;
  run.request.tasks = std::max(run.request.tasks, run.tasks_done);  // some have come meanwhile
  if (embedded.ok()) {
    run.failing_since = absl::InfiniteFuture();
    run.paused = false;
    run.encoded += embedded->encoded;
    run.already_there += embedded->already_there;
    run.kept_bytes += embedded->kept_bytes;
    metrics_.Get(kEmbedded, {"encoded"}).Increment(embedded->encoded);
    metrics_.Get(kEmbedded, {"already_there"}).Increment(embedded->already_there);
    return;
  }
  ++run.failed;
  metrics_.Get(kEmbedded, {"failed"}).Increment();
  run.error = Short(embedded.status());
  if (run.failures.size() < kMaxFailures) run.failures.emplace_back(task.id, run.error);
  serving::LogLine("embed.failed", serving::LogLevel::kWarning)
      .Str("request_id", run.request.request_id)
      .Str("project", run.request.project_id)
      .Int("task_id", task.id)
      .Status(embedded.status());
}

EmbeddingRuns::RunPtr EmbeddingRuns::LatestOf(const std::string& key) const {
  const auto is_its = [&](const RunPtr& run) { return run->request.key == key; };
  if (running_ != nullptr && is_its(running_) && !running_->has_ended()) return running_;
  for (const std::deque<RunPtr>* runs : {&waiting_, &ended_}) {
    const auto found = std::find_if(runs->begin(), runs->end(), is_its);
    if (found != runs->end()) return *found;
  }
  return nullptr;
}

void EmbeddingRuns::End(const RunPtr& ended, Run::State state) {
  const RunPtr run = ended;  // outlives the erasure
  run->state = state;
  run->finished = absl::Now();
  run->request.project = nullptr;
  std::erase(waiting_, run);
  std::erase_if(ended_,
                [&](const RunPtr& other) { return other->request.key == run->request.key; });
  ended_.push_front(run);
  if (ended_.size() > kMaxEnded) ended_.pop_back();
  if (state != Run::State::kDone) {
    asio::post(strand_, [run] { run->cancel.emit(asio::cancellation_type::terminal); });
  }
  Count();
  serving::LogLine("embed.ended", state == Run::State::kFailed ? serving::LogLevel::kWarning
                                                               : serving::LogLevel::kInfo)
      .Str("request_id", run->request.request_id)
      .Str("project", run->request.project_id)
      .Str("state", NameOf(state))
      .Int("tasks", run->tasks_done)
      .Int("encoded", run->encoded)
      .Int("already_there", run->already_there)
      .Int("failed", run->failed)
      .Str("error", run->error)
      .Num("elapsed_s", absl::ToDoubleSeconds(run->finished - run->created));
}

void EmbeddingRuns::Count() {
  const bool runs = running_ != nullptr && !running_->has_ended();
  metrics_.Get(kEmbeddingRuns).Set(static_cast<double>(waiting_.size() + (runs ? 1 : 0)));
}

}  // namespace gateway::jobs
