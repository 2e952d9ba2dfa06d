// EmbeddingRuns has all images of a project encoded, and kept in the segmenter's store, so that the
// first click into each is answered at once, even after a restart of everything.
//
// One project after the other, some of its images at a time, at the lowest rank: whatever else the
// segmenter is asked goes first. Tasks are read in pages, by id. What is away is waited for; a task
// that fails for a reason of its own is told and left out. A project is embedded once at a time.
//
// Nothing of it is kept on disk, since the store has what is done: after a restart of the gateway
// the same run finds that, and encodes the rest.
//
// Thread-safe.
#ifndef DUET_GATEWAY_JOBS_EMBEDDING_RUNS_H_
#define DUET_GATEWAY_JOBS_EMBEDDING_RUNS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/jobs/embedding_run.h"
#include "label_studio/task.h"
#include "label_studio_api/label_studio_api.h"
#include "prelabel/predictor.h"
#include "serving/metrics.h"

namespace gateway::jobs {

struct EmbeddingOptions {
  int page = 100;                 // tasks that are listed at once
  int in_flight = 8;              // tasks in work at once
  std::size_t max_waiting = 100;  // projects
  int max_tries = 5;              // at a task, while others succeed
  absl::Duration task_deadline = absl::Minutes(10);
  absl::Duration first_pause = absl::Seconds(1);
  absl::Duration longest_pause = absl::Minutes(1);
  absl::Duration give_up_after = absl::Minutes(15);  // without any success
};

class EmbeddingRuns {
 public:
  // The executor's context must not be run any more at destruction; everything referred to outlives
  // this.
  EmbeddingRuns(boost::asio::any_io_executor executor, prelabel::Predictor& predictor,
                label_studio_api::LabelStudioApi& api, serving::Metrics& metrics,
                const EmbeddingOptions& options);

  // Begins a run, or joins the one of this key that waits or runs: how it goes, as JSON.
  // ResourceExhausted if too many wait, Unavailable once stopped.
  absl::StatusOr<boost::json::object> Start(EmbeddingRequest request);
  // The last run of this key. NotFound if there was none since this process began.
  absl::StatusOr<boost::json::object> Find(const std::string& key) const;
  // All that run, wait or have ended, in this order.
  boost::json::array DescribeAll() const;
  // What is kept stays. NotFound if none waits or runs.
  absl::StatusOr<boost::json::object> Cancel(const std::string& key, const std::string& who);

  // Ends what waits or runs; from now on nothing begins.
  void Stop();

 private:
  using Run = EmbeddingRun;
  using RunPtr = std::shared_ptr<EmbeddingRun>;

  // On strand_.
  void BeginNext();
  boost::asio::awaitable<void> EmbedProject(RunPtr run);
  boost::asio::awaitable<void> EmbedTask(RunPtr run, const label_studio::Task& task);
  boost::asio::awaitable<absl::StatusOr<prelabel::EmbeddedAhead>> Try(
      const RunPtr& run, const label_studio::Task& task);
  // Waits before another try; false if there is to be none.
  boost::asio::awaitable<bool> Pause(RunPtr run, absl::Status why, int tries);

  // False once the run has ended.
  bool IsWanted(const Run& run) const;
  void Succeeded(Run& run);
  void Settle(Run& run, const label_studio::Task& task,
              const absl::StatusOr<prelabel::EmbeddedAhead>& embedded);
  // REQUIRES of all below: mutex_ is held.
  RunPtr LatestOf(const std::string& key) const;
  void End(const RunPtr& run, Run::State state);
  void Count();

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  prelabel::Predictor& predictor_;
  label_studio_api::LabelStudioApi& api_;
  serving::Metrics& metrics_;
  const EmbeddingOptions options_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool stopping_ = false;
  RunPtr running_;
  std::deque<RunPtr> waiting_;
  std::deque<RunPtr> ended_;  // newest first, one a key
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_EMBEDDING_RUNS_H_
