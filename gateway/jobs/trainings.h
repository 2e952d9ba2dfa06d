// Trainings as the gateway sees them: it asks the trainer to begin one, follows what becomes of all
// of them, and applies their verdicts.
//
// The trainer keeps the jobs. The gateway keeps nothing that a restart could lose: it asks for the
// list again and again, and what was decided before says serving.json. So any number of gateways
// may follow the same trainer.
//
// A project can also be trained by itself, once there are so many new annotations. How many there
// are says Label Studio's API; an event only makes the gateway ask.
//
// Thread-safe.
#ifndef DUET_GATEWAY_JOBS_TRAININGS_H_
#define DUET_GATEWAY_JOBS_TRAININGS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backends/trainer_client.h"
#include "gateway/jobs/verdicts.h"
#include "label_studio_api/label_studio_api.h"
#include "model_store/model_store.h"
#include "serving/metrics.h"

namespace gateway::jobs {

struct TrainingOptions {
  std::string model_root;
  // Between the beginnings of two trainings of a project; what asks earlier is refused.
  absl::Duration interval = absl::Minutes(1);
  // Train a project by itself after so many new annotations; 0: don't.
  int every = 0;
  // How often the trainer is asked while it has something to do, and else.
  std::chrono::milliseconds follow = std::chrono::seconds(1);
  std::chrono::milliseconds idle = std::chrono::seconds(5);
  // Annotations come one after another: how long the first one is waited after.
  std::chrono::milliseconds debounce = std::chrono::seconds(3);
};

// A version that serves from now on.
struct Swap {
  model_store::Kind kind = model_store::Kind::kDetector;
  std::string project_id;
  std::uint64_t version = 0;
};

class Trainings {
 public:
  // What follows from what is seen here; called on any thread, and may not block.
  struct Hooks {
    std::function<void(const Swap&)> swapped;
    // What some name serves has changed, whoever did it.
    std::function<void()> serving_changed;
    // Whether the project is the operator's.
    std::function<boost::asio::awaitable<bool>(std::string project_id, std::int64_t created)>
        is_own;
  };

  // `trainer` null: nothing is trained, and nothing below may be called but enabled() and Stop().
  // `site`: the operator's. The executor's context must not be run any more at destruction;
  // everything referred to outlives this.
  Trainings(boost::asio::any_io_executor executor, backends::TrainerClient* trainer,
            label_studio_api::LabelStudioApi& api, label_studio_api::LabelStudioSite site,
            boost::asio::thread_pool& pool, serving::Metrics& metrics, TrainingOptions options,
            Hooks hooks);

  bool enabled() const { return trainer_ != nullptr; }
  const TrainingOptions& options() const { return options_; }
  // Follows from now on.
  void Begin();
  void Stop();

  // Who asks, for the log: "loopback", "ann at 10.0.0.7".
  struct Asker {
    std::string who;
    std::string request_id;
  };
  // Begins a training of the project, or joins the one that is there; the job as JSON.
  // ResourceExhausted if the last one began less than the interval ago. REQUIRES of all ids of
  // projects: IsProjectId.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Start(
      std::string project_id, duet::trainer::v1::ModelKind kind, Asker asker);
  // Ends what is queued or runs. NotFound if there is nothing.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Cancel(std::string project_id,
                                                                     Asker asker);
  // Deletes the copies of its images and annotations that trainings have kept.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Forget(std::string project_id,
                                                                     Asker asker);
  // The project's last job. NotFound if it was never trained.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Describe(std::string project_id);
  // Of those that were listed last. Nothing if there is no such job.
  std::optional<boost::json::object> Find(std::string_view job_id) const;
  // Whether any job is queued or runs, as last heard.
  bool IsActive() const;

  // The project may have new annotations; anybody may claim that. `created`: the project's, in
  // seconds since 1970; 0: it isn't known.
  void Annotated(const std::string& project_id, std::int64_t created);

 private:
  using Job = duet::trainer::v1::Job;
  using Jobs = std::vector<Job>;

  boost::asio::awaitable<void> Follow();
  boost::asio::awaitable<absl::StatusOr<Jobs>> List(std::uint64_t project_id, std::uint32_t limit);
  boost::asio::awaitable<void> Settle(const Jobs& jobs);
  // The verdict wasn't applied yet, and not tried a moment ago.
  bool IsDue(const std::string& job_id) const;
  void Keep(const Job& job, const AppliedVerdict& applied);
  void NoteStates(const Jobs& jobs);
  // Looks whether serving.json files have changed, and says who did it. Blocks.
  bool LookAtServing();
  boost::json::object ToJson(const Job& job) const;
  boost::asio::awaitable<void> CountAnnotations(std::string project_id, std::int64_t created);
  boost::asio::awaitable<absl::Status> CheckInterval(std::string project_id,
                                                     duet::trainer::v1::ModelKind kind);
  void Wake();

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  backends::TrainerClient* const trainer_;
  label_studio_api::LabelStudioApi& api_;
  const label_studio_api::LabelStudioSite site_;
  boost::asio::thread_pool& pool_;
  serving::Metrics& metrics_;
  const TrainingOptions options_;
  const Hooks hooks_;
  const model_store::ModelStore store_;
  boost::asio::steady_timer timer_;  // on strand_

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool stopping_ = false;
  bool wake_ = false;
  bool reachable_ = true;
  Jobs jobs_;                                     // as last heard; latest first
  std::map<std::string, std::string> sentences_;  // by job, what became of its verdict
  std::set<std::string> settled_;                 // jobs
  std::map<std::string, absl::Time> failed_at_;   // verdicts that are tried again later, by job
  std::map<std::string, Job::State> states_;      // by job
  bool heard_ = false;
  std::set<std::string> counting_;  // projects
  // On the pool, one look at a time: by kind and name.
  std::map<std::string, model_store::Serving> serving_;
  bool looked_ = false;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_TRAININGS_H_
