// Prefetcher is ahead of the hand: while somebody labels one task, it fetches and embeds the
// pictures of the next ones, at the lowest rank, so that their first click is a cached one.
//
// The encoder keeps every core busy, and a click that falls into its work waits for it. So after a
// task was opened nothing begins until its first click has been answered, or nobody has clicked for
// a while.
//
// Which tasks come next is asked of Label Studio, in label-stream order: the unlabelled ones behind
// the task at hand, then from the beginning (docs/adr/0503-next-tasks-by-list.md). Bounded: one
// project is served by one coroutine, which turns to the newest event before each task; a few
// projects at once, the rest wait. Failures cost nothing but a count: nobody has asked.
//
// Only a task of a /predict begins anything, for the gate stands before it. Annotations are told by
// an endpoint that is open to everybody, so they can but bring forward what was begun, and go on
// from there for kAnnotationsPaid tasks until the next /predict; about a project that no /predict
// has shown they cost a look into a table.
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
  int tasks = 2;  // ahead of the one at hand; 0: off
  absl::Duration task_deadline = absl::Minutes(2);
  // How long a first click is waited for.
  std::chrono::milliseconds look = std::chrono::seconds(3);
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
  static constexpr int kAnnotationsPaid = 5;

  // A task of a /predict, that somebody is at.
  struct Event {
    // The task has just been opened; else it was clicked into.
    bool opened = false;
    const prelabel::Profile& profile;
    prelabel::Settings settings;
    label_studio_api::LabelStudioSite label_studio;
    std::string project_id;
    std::int64_t task_id = 0;
    std::string request_id;
    std::string traceparent;
  };
  // Returns at once. Nothing happens without a segmenter, a token, or a project's number, and if
  // the project's last event was about the same task, but for an end of the wait for a click.
  void Follow(Event event);
  // The task has been annotated, as anybody may say. `key`: of the project, Gateway::ProjectKey.
  void Annotated(std::string key, std::int64_t task_id, std::string request_id,
                 std::string traceparent);

  // Ends what runs; nothing begins any more.
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
  void Turn(const ProjectPtr& project, Event event);
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
  // Who is dropped begins nothing any more, unless it runs or waits in queue_.
  containers::Lru<ProjectPtr> projects_{/*max_entries=*/1000, /*max_bytes=*/64 << 20};
  std::deque<ProjectPtr> queue_;  // not running; bounded
  std::set<ProjectPtr> running_;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_PREFETCHER_H_
