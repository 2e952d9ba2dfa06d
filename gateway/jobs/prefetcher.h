// While somebody labels one task, Prefetcher fetches and embeds the images of the next ones, at the
// lowest priority, so that their first click finds an embedding.
//
// The encoder keeps every core busy, and a click that comes meanwhile waits for it. So after a task
// was opened nothing begins until its first click has been answered, or nobody has clicked for a
// while.
//
// Label Studio lists the tasks that come next, in label-stream order: the unlabelled ones behind
// the current task, then from the beginning (docs/adr/0503-next-tasks-by-list.md). The work is
// bounded: a project is served by one coroutine, which takes up the newest event before each task;
// a few projects are served at once, the others wait. A failure is counted and logged; no request
// depends on it.
//
// Only a /predict begins anything, since it needs credentials. Annotations come through an endpoint
// that is open to everybody. So they can only bring forward what a /predict has begun, and continue
// from there for kMaxFollowedAnnotations tasks until the next /predict. For a project without any
// /predict they cost one lookup.
//
// Thread-safe.
#ifndef DUET_GATEWAY_JOBS_PREFETCHER_H_
#define DUET_GATEWAY_JOBS_PREFETCHER_H_

#include <absl/time/time.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "containers/lru.h"
#include "label_studio_api/label_studio_api.h"
#include "prelabel/predictor.h"
#include "prelabel/project_cache.h"
#include "serving/metrics.h"

namespace gateway::jobs {

struct PrefetchOptions {
  int tasks = 2;  // after the current one; 0: off
  absl::Duration task_deadline = absl::Minutes(2);
  // How long the first click into an opened task is waited for.
  std::chrono::milliseconds click_wait = std::chrono::seconds(3);
};

class Prefetcher {
 public:
  // The executor's context must not be run any more at destruction; everything referred to outlives
  // this.
  Prefetcher(boost::asio::any_io_executor executor, prelabel::Predictor& predictor,
             label_studio_api::LabelStudioApi& api, prelabel::ProjectCache& projects,
             boost::asio::thread_pool& pool, serving::Metrics& metrics,
             const PrefetchOptions& options);

  // How many annotations after an opened or clicked task are followed without another such task.
  static constexpr int kMaxFollowedAnnotations = 5;

  // Somebody has opened a task, or clicked into it.
  struct Event {
    // False: the task was clicked into.
    bool opened = false;
    const prelabel::Profile& profile;
    prelabel::Settings settings;
    label_studio_api::LabelStudioSite label_studio;
    std::string key;  // Application::ProjectKey
    std::string project_id;
    std::int64_t project_created = 0;  // seconds since 1970; 0: it isn't known
    std::string model_name;
    std::int64_t task_id = 0;
    std::string request_id;
    std::string traceparent;
  };
  // Returns at once. Nothing happens without a segmenter, a token or the project's number. If the
  // project's last event was about the same task, this one only ends the wait for a click.
  void Schedule(Event event);
  // Says that the task was annotated; anybody may claim that. `key`: Application::ProjectKey.
  void Annotated(std::string key, std::int64_t task_id, std::string request_id,
                 std::string traceparent);

  // Cancels what runs; from now on nothing begins.
  void Stop();

 private:
  struct Project {
    Project(std::string key, const boost::asio::any_io_executor& strand)
        : key(std::move(key)), wait(strand) {}

    const std::string key;
    std::optional<Event> last;                    // of /predict; of annotations, its task
    int annotations_left = 0;                     // that may be followed
    std::optional<Event> next;                    // not begun
    std::chrono::steady_clock::time_point begin;  // of `next`, not earlier
    boost::asio::steady_timer wait;               // until then
    std::int64_t last_task = 0;                   // of the last event
    std::optional<label_studio_api::ProjectInfo> info;
    absl::Time info_until = absl::InfinitePast();
    bool active = false;  // runs, or waits in queue_
    boost::asio::cancellation_signal cancel;
  };
  using ProjectPtr = std::shared_ptr<Project>;

  // All on strand_.
  void Keep(const ProjectPtr& project);
  void SetNext(const ProjectPtr& project, Event event);
  void Enqueue(const ProjectPtr& project);
  void Start();
  boost::asio::awaitable<void> Run(ProjectPtr project);
  boost::asio::awaitable<absl::Status> EmbedNext(ProjectPtr project, Event event);
  boost::asio::awaitable<absl::StatusOr<std::vector<label_studio::Task>>> NextTasks(
      const Event& event, label_studio_api::Sampling sampling);

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  prelabel::Predictor& predictor_;
  label_studio_api::LabelStudioApi& api_;
  prelabel::ProjectCache& project_cache_;
  boost::asio::thread_pool& pool_;
  serving::Metrics& metrics_;
  const PrefetchOptions options_;

  // On strand_.
  bool stopping_ = false;
  // A project that is dropped begins nothing more, unless it runs or waits in queue_.
  containers::Lru<ProjectPtr> projects_{/*max_entries=*/1000, /*max_bytes=*/64 << 20};
  std::deque<ProjectPtr> queue_;  // not running; bounded
  std::set<ProjectPtr> running_;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_PREFETCHER_H_
