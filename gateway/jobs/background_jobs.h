// BackgroundJobs finishes what a batch leaves undone at its deadline, and stores it through Label
// Studio's API (setting background=push).
//
// A job is the rest of one /predict. A few tasks of all jobs are in work at a time; the jobs take
// turns. No task is begun while somebody waits for a click or an opened task, up to a bound; images
// are embedded at the lowest priority. If Label Studio or a model is away, the job pauses, longer
// each time, and tries again; it fails once nothing has succeeded for too long. Nothing is kept on
// disk: a task that a restart loses has no prediction, so Label Studio asks for it again when
// predictions are retrieved the next time.
//
// A task of one Label Studio and model version is worked on once at a time: a request or job claims
// it first, and a repeated click on "Retrieve Predictions" leaves claimed tasks alone. Between
// gateways, the task's stored predictions are checked before one is stored.
//
// Thread-safe.
#ifndef DUET_GATEWAY_JOBS_BACKGROUND_JOBS_H_
#define DUET_GATEWAY_JOBS_BACKGROUND_JOBS_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/array.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/push_job.h"
#include "gateway/jobs/task_claims.h"
#include "label_studio/task.h"
#include "label_studio_api/label_studio_api.h"
#include "prelabel/predictor.h"
#include "serving/metrics.h"

namespace gateway::jobs {

struct BackgroundOptions {
  int concurrency = 2;              // tasks in work at once, of all jobs
  std::size_t max_tasks = 100'000;  // waiting, in all jobs; further ones are refused
  // Of memory for the waiting tasks and their label configs, about; likewise.
  std::size_t max_bytes = 256 << 20;
  absl::Duration task_deadline = absl::Seconds(90);  // of one try at a task
  int max_tries = 20;                                // at one task
  absl::Duration first_pause = absl::Seconds(1);
  absl::Duration longest_pause = absl::Minutes(1);
  absl::Duration give_up_after = absl::Minutes(15);  // without any success
  absl::Duration longest_yield = absl::Seconds(5);   // to interactive requests
};

class BackgroundJobs {
 public:
  // Whether a project is known by now to be another Label Studio's than the operator's; asks
  // nobody.
  using IsForeign = std::function<bool(const std::string& project_id, std::int64_t created)>;

  // The executor's context must not be run any more at destruction; everything referred to outlives
  // this.
  BackgroundJobs(boost::asio::any_io_executor executor, prelabel::Predictor& predictor,
                 label_studio_api::LabelStudioApi& api, serving::Metrics& metrics,
                 const BackgroundOptions& options, IsForeign is_foreign);

  // Which request or job works on which task.
  const std::shared_ptr<TaskClaims>& claims() const { return claims_; }
  // A task's key in `claims`.
  static std::string KeyOf(const prelabel::PredictContext& predict, std::int64_t task_id);

  // As long as one exists, somebody waits for an interactive answer and jobs begin no task.
  class InteractiveGuard {
   public:
    explicit InteractiveGuard(const BackgroundJobs& jobs) : interactive_(jobs.interactive_) {
      ++*interactive_;
    }
    ~InteractiveGuard() { --*interactive_; }
    InteractiveGuard(const InteractiveGuard&) = delete;
    InteractiveGuard& operator=(const InteractiveGuard&) = delete;

   private:
    const std::shared_ptr<std::atomic<int>> interactive_;
  };

  struct Added {
    std::string job_id;  // "" if nothing was added
    std::size_t added = 0;
    std::size_t begun = 0;  // the first ones, added or answered meanwhile; the rest found no room
  };
  // Takes over the claims of those that are added, which are copied: their memory is the request's.
  Added Add(const prelabel::PredictContext& predict, std::string_view project_id,
            const std::vector<const label_studio::Task*>& tasks, const RequestClaims& claims);

  // The task has got its prediction from a request: a job that works on it stores no other.
  void AnsweredElsewhere(const prelabel::PredictContext& predict, std::int64_t task_id);

  // For GET /jobs: all that wait or run, and the last that have ended; newest first.
  boost::json::array Describe() const;
  // Nothing of the job is stored from now on. False if there is no such job that waits or runs.
  bool Cancel(std::string_view job_id);

  // How often the timer has started workers.
  std::int64_t wakeups() const { return wakeups_; }

  // From now on no task is begun.
  void Stop();
  // The same, and waits for those in work until `deadline`. Blocks: not on an io thread.
  void Drain(absl::Time deadline);

 private:
  using State = PushJob::State;
  using Item = PushItem;
  using Job = PushJob;
  using JobPtr = std::shared_ptr<Job>;
  struct Assignment {
    JobPtr job;
    std::shared_ptr<prelabel::Project> project;
    Item item;
  };
  // How a try at a task ended.
  enum class Ending { kStored, kAlreadyThere, kFailed, kTryAgain, kEndsJob, kNotWanted };
  struct Outcome {
    Ending ending;
    absl::Status status;  // why, unless stored
  };

  boost::asio::awaitable<void> Work();
  boost::asio::awaitable<Outcome> Try(const Job& job, std::shared_ptr<prelabel::Project> project,
                                      Item& item);
  bool IsWanted(const Job& job, const Item& item) const;

  // REQUIRES of all below: mutex_ is held.
  void StartWorkers();
  std::optional<Assignment> Take();
  bool YieldsToInteractive(absl::Time now) const;
  void StartWorkersAt(absl::Time time);
  std::size_t ProjectBytes() const;
  void Settle(Assignment assignment, const Outcome& outcome);
  bool CountEnding(Job& job, Ending ending);
  void Pause(Job& job);
  void DropWaiting(const Job& job, const Item& item);  // one that waits
  void End(const JobPtr& job, State state);
  void Count();

  const boost::asio::any_io_executor executor_;
  prelabel::Predictor& predictor_;
  label_studio_api::LabelStudioApi& api_;
  serving::Metrics& metrics_;
  const BackgroundOptions options_;
  const IsForeign is_foreign_;
  const std::shared_ptr<TaskClaims> claims_ = std::make_shared<TaskClaims>();
  const std::shared_ptr<std::atomic<int>> interactive_ = std::make_shared<std::atomic<int>>(0);

  mutable std::mutex mutex_;
  std::condition_variable idle_;  // no task is in work
  // Guarded by mutex_.
  bool stopping_ = false;
  std::deque<JobPtr> running_;  // in the order of their turns
  std::deque<JobPtr> ended_;    // newest first
  int workers_ = 0;
  boost::asio::steady_timer wake_;  // the only one: idle workers exit, and it restarts them
  absl::Time wakes_at_ = absl::InfiniteFuture();
  std::atomic<std::int64_t> wakeups_ = 0;
  // When a task was begun last, or a job came while there was none.
  absl::Time last_begun_ = absl::InfinitePast();
  std::size_t waiting_tasks_ = 0, waiting_bytes_ = 0, in_work_ = 0;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_BACKGROUND_JOBS_H_
