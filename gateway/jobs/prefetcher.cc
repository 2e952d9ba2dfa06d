#include "gateway/jobs/prefetcher.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>
#include <vector>

#include "gateway/jobs/metrics.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "tracing/span.h"

namespace gateway::jobs {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using label_studio::Task;
using label_studio_api::Sampling;
using std::chrono::steady_clock;

// Projects whose tasks are embedded at once; the encoder takes one image at a time anyway.
constexpr std::size_t kMaxRunning = 4;
// Further ones are left alone until their next event.
constexpr std::size_t kMaxQueued = 1000;
constexpr auto kInfoAge = absl::Minutes(1);

}  // namespace

Prefetcher::Prefetcher(asio::any_io_executor executor, prelabel::Predictor& predictor,
                       label_studio_api::LabelStudioApi& api, prelabel::ProjectCache& projects,
                       asio::thread_pool& pool, serving::Metrics& metrics,
                       const PrefetchOptions& options)
    : strand_(asio::make_strand(std::move(executor))),
      predictor_(predictor),
      api_(api),
      project_cache_(projects),
      pool_(pool),
      metrics_(metrics),
      options_(options) {}

void Prefetcher::Schedule(Event event) {
  if (options_.tasks == 0 || !event.profile.segmenter || event.label_studio.url.empty() ||
      event.label_studio.Token().empty() || !label_studio_api::IsProjectId(event.project_id)) {
    return;
  }
  asio::post(strand_, [this, event = std::move(event)]() mutable {
    if (stopping_) return;
    std::string key = event.key;
    const ProjectPtr* const known = projects_.Find(key);
    const ProjectPtr project = known ? *known : std::make_shared<Project>(std::move(key), strand_);
    project->last.emplace(event);
    project->annotations_left = kMaxFollowedAnnotations;
    Keep(project);
    SetNext(project, std::move(event));
  });
}

void Prefetcher::Annotated(std::string key, std::int64_t task_id, std::string request_id,
                           std::string traceparent) {
  if (options_.tasks == 0 || task_id == 0) return;
  asio::post(strand_, [this, key = std::move(key), task_id, request_id = std::move(request_id),
                       traceparent = std::move(traceparent)] {
    const ProjectPtr* const known = projects_.Find(key);
    if (stopping_ || known == nullptr) return;
    const ProjectPtr project = *known;
    if (project->last_task != task_id && project->annotations_left-- <= 0) return;
    Event event = *project->last;
    event.opened = false;
    event.task_id = task_id;
    event.request_id = request_id;
    event.traceparent = traceparent;
    SetNext(project, std::move(event));
  });
}

// Inserts the project, or counts anew the bytes that it takes.
void Prefetcher::Keep(const ProjectPtr& project) {
  std::size_t bytes = sizeof(Project);
  if (project->last) bytes += 2 * prelabel::BytesOf(project->last->settings) + 4096;
  if (project->info) bytes += project->info->label_config.size();
  projects_.Insert(project->key, project, bytes);
}

void Prefetcher::SetNext(const ProjectPtr& project, Event event) {
  const auto begin =
      steady_clock::now() + (event.opened ? options_.click_wait : std::chrono::milliseconds(0));
  if (event.task_id != 0 && project->last_task == event.task_id) {
    project->begin = std::min(project->begin, begin);
  } else {
    project->last_task = event.task_id;
    project->begin = begin;
    project->next.emplace(std::move(event));
  }
  Enqueue(project);
}

void Prefetcher::Enqueue(const ProjectPtr& project) {
  if (stopping_ || project->active || !project->next) return;
  if (steady_clock::now() < project->begin) {
    project->wait.expires_at(project->begin);
    // The timer doesn't keep the project: one that is dropped waits no longer.
    project->wait.async_wait(
        [this, waiting = std::weak_ptr(project)](const boost::system::error_code& error) {
          const ProjectPtr still_there = error ? nullptr : waiting.lock();
          if (still_there) Enqueue(still_there);
        });
    return;
  }
  project->wait.cancel();
  if (queue_.size() >= kMaxQueued) {
    project->next.reset();
    project->last_task = 0;
    return;
  }
  project->active = true;
  queue_.push_back(project);
  Start();
}

void Prefetcher::Stop() {
  asio::post(strand_, [this] {
    stopping_ = true;
    queue_.clear();
    projects_.ForEach([](const ProjectPtr& project) { project->wait.cancel(); });
    for (const ProjectPtr& project : running_) {
      project->cancel.emit(asio::cancellation_type::terminal);
    }
  });
}

void Prefetcher::Start() {
  while (running_.size() < kMaxRunning && !queue_.empty()) {
    const ProjectPtr project = queue_.front();
    queue_.pop_front();
    running_.insert(project);
    asio::co_spawn(
        strand_, Run(project),
        asio::bind_cancellation_slot(project->cancel.slot(), [this, project](std::exception_ptr) {
          // An exception is a cancellation: we are stopping.
          project->active = false;
          running_.erase(project);
          if (stopping_) return;
          Enqueue(project);
          Start();
        }));
  }
}

awaitable<void> Prefetcher::Run(ProjectPtr project) {
  while (project->next && steady_clock::now() >= project->begin && !stopping_) {
    Event event = *std::exchange(project->next, std::nullopt);
    const std::string request_id = event.request_id;
    const std::string project_id = event.project_id;
    auto embedding = EmbedNext(project, std::move(event));
    const absl::Status status = co_await std::move(embedding);
    if (status.ok()) continue;
    if (prelabel::ClassifyFailure(status) == prelabel::FailureKind::kTransient)
      project->last_task = 0;  // may be tried again
    serving::LogLine("prefetch.failed", serving::LogLevel::kWarning)
        .Str("request_id", request_id)
        .Str("project", project_id)
        .Status(status);
  }
}

awaitable<absl::Status> Prefetcher::EmbedNext(ProjectPtr project, Event event) {
  if (absl::Now() >= project->info_until) {
    auto asking = api_.Project(event.label_studio, event.project_id);
    auto info = co_await std::move(asking);
    if (!info.ok()) co_return info.status();
    project->info = *std::move(info);
    project->info_until = absl::Now() + kInfoAge;
    if (projects_.Find(project->key) != nullptr) Keep(project);
  }
  // Of another Label Studio's project with this number: its next tasks aren't these.
  const std::int64_t created = project->info->created;
  if (event.label_studio.trusted && event.project_created != 0 && created != 0 &&
      created != event.project_created) {
    co_return absl::OkStatus();
  }
  auto finding = project_cache_.Get(pool_, project->info->label_config, event.settings);
  const auto parsed = co_await std::move(finding);
  if (!parsed.ok()) co_return parsed.status();
  if (!(*parsed)->has_smart_control()) co_return absl::OkStatus();
  const Sampling sampling = project->info->sampling;
  if (sampling == Sampling::kUniform) co_return absl::OkStatus();

  auto listing = NextTasks(event, sampling);
  const auto tasks = co_await std::move(listing);
  if (!tasks.ok()) co_return tasks.status();
  const tracing::Span span(event.traceparent, "prefetch");
  serving::RequestContext request(event.request_id, span.traceparent());
  for (const Task& task : *tasks) {
    if (project->next || stopping_) co_return absl::OkStatus();
    prelabel::PredictContext context{
        .profile = event.profile,
        .project = *parsed,
        .project_id = event.project_id,
        .model_name = event.model_name,
        .model_version = "",
        .label_studio = event.label_studio,
        .call = {.deadline = absl::ToChronoTime(absl::Now() + options_.task_deadline),
                 .request_id = request.request_id(),
                 .traceparent = request.traceparent(),
                 .priority = serving::Priority::kPrefetch},
        .request = request};
    auto embedding = predictor_.EmbedAhead(task, /*only_where_clicked=*/true, context);
    const auto embedded = co_await std::move(embedding);
    const absl::Status status = embedded.status();
    const std::string code = absl::StatusCodeToString(status.code());
    metrics_.Get(kPrefetched, {code}).Increment();
    serving::LogLine("prefetch.done", serving::LogLevel::kDebug)
        .Request(request)
        .Str("project", event.project_id)
        .Int("task_id", task.id)
        .Num("embed_ms", context.timings->embed_ms)
        .Status(status);
  }
  co_return absl::OkStatus();
}

// The tasks behind the current one; if there aren't enough, those at the beginning.
awaitable<absl::StatusOr<std::vector<Task>>> Prefetcher::NextTasks(const Event& event,
                                                                   Sampling sampling) {
  const auto count = static_cast<std::size_t>(options_.tasks);
  std::vector<Task> next;
  const bool by_id = sampling == Sampling::kSequential && event.task_id > 0;
  for (const std::int64_t after : {by_id ? event.task_id : 0, std::int64_t{0}}) {
    auto listing = api_.UnlabelledTasks(event.label_studio, event.project_id, sampling, after,
                                        options_.tasks + 1);
    auto listed = co_await std::move(listing);
    if (!listed.ok()) co_return listed.status();
    for (Task& task : *listed) {
      const bool known = task.id == event.task_id ||
                         std::any_of(next.begin(), next.end(),
                                     [&](const Task& other) { return other.id == task.id; });
      if (!known && next.size() < count) next.push_back(std::move(task));
    }
    if (next.size() == count || after == 0) break;
  }
  co_return next;
}

}  // namespace gateway::jobs
