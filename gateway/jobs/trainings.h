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
#include <boost/json/array.hpp>
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
#include "containers/lru.h"
#include "gateway/jobs/progress_curves.h"
#include "gateway/jobs/serving_watch.h"
#include "gateway/jobs/verdicts.h"
#include "label_studio_api/label_studio_api.h"
#include "serving/metrics.h"

namespace gateway::jobs {

// Which of a project's models a training is asked for. Both: the detector, and behind it the
// segmenter, if the trainer finds masks to learn from.
enum class TrainedModels { kDetector, kSegmenter, kBoth };

struct TrainingOptions {
  std::string model_root;
  // Between the beginnings of two trainings of a project; what asks earlier is refused.
  absl::Duration interval = absl::Minutes(1);
  // Train a project by itself after so many new annotations; 0: don't.
  int every = 0;
  // How often the trainer is asked while it has something to do, and else.
  std::chrono::milliseconds follow = std::chrono::seconds(1);
  std::chrono::milliseconds idle = std::chrono::seconds(5);
  // How often serving.json files are read.
  std::chrono::milliseconds look = std::chrono::seconds(2);
  // Annotations come one after another: how long the first one is waited after.
  std::chrono::milliseconds debounce = std::chrono::seconds(3);
  // After a verdict that couldn't be applied; doubles each time up to five minutes.
  absl::Duration settle_again = absl::Seconds(10);
};

class Trainings {
 public:
  struct Hooks {
    // Whether the project is the operator's beyond doubt.
    std::function<boost::asio::awaitable<bool>(std::string project_id, std::int64_t created)>
        is_own;
  };

  // `trainer` null: nothing is trained, and nothing below may be called but enabled() and Stop().
  // `site`: the operator's. The executor's context must not be run any more at destruction;
  // everything referred to outlives this.
  Trainings(boost::asio::any_io_executor executor, backends::TrainerClient* trainer,
            label_studio_api::LabelStudioApi& api, label_studio_api::LabelStudioSite site,
            ServingWatch& serving, serving::Metrics& metrics, TrainingOptions options, Hooks hooks);

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
  // Begins a training of the project, or joins the one that is there; the job as JSON, of both the
  // detector's. ResourceExhausted if the last one of that kind began less than the interval ago.
  // REQUIRES of all ids of projects: IsProjectId.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Start(std::string project_id,
                                                                    TrainedModels models,
                                                                    Asker asker);
  // Ends what is queued or runs. NotFound if there is nothing.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Cancel(std::string project_id,
                                                                     Asker asker);
  // Deletes the copies of its images and annotations that trainings have kept.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Forget(std::string project_id,
                                                                     Asker asker);
  // The project's last job of that kind; without a kind the detector's, with the segmenter's in it,
  // or what there is of both. NotFound if it was never trained.
  boost::asio::awaitable<absl::StatusOr<boost::json::object>> Describe(
      std::string project_id, std::optional<model_store::Kind> kind);
  // The last `most` jobs of all projects, as they were listed last, the latest first; each with its
  // curve, [[step, loss, score], …].
  boost::json::array DescribeAll(std::size_t most) const;
  // Of those that were listed last. Nothing if there is no such job.
  std::optional<boost::json::object> Find(std::string_view job_id) const;
  // Whether any job is queued or runs, as last heard.
  bool IsActive() const;

  // A request that isn't open to everybody has named the project. `created`: the project's, in
  // seconds since 1970; 0, and nothing follows: it isn't known.
  void Shown(const std::string& project_id, std::int64_t created);
  // It may have new annotations; anybody may claim that, so nothing follows for what wasn't Shown.
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
  boost::json::object ToJson(const Job& job) const;
  void Count(const std::string& project_id, std::int64_t created);
  // Counts until nothing has come meanwhile.
  boost::asio::awaitable<void> CountAgainAndAgain(std::string project_id, std::int64_t created);
  boost::asio::awaitable<void> CountAnnotations(std::string project_id, std::int64_t created);
  boost::asio::awaitable<absl::Status> CheckInterval(std::string project_id,
                                                     duet::trainer::v1::ModelKind kind);
  void Wake();

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  backends::TrainerClient* const trainer_;
  label_studio_api::LabelStudioApi& api_;
  const label_studio_api::LabelStudioSite site_;
  ServingWatch& serving_;
  serving::Metrics& metrics_;
  const TrainingOptions options_;
  const Hooks hooks_;
  boost::asio::steady_timer timer_;  // on strand_

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool stopping_ = false;
  bool wake_ = false;
  bool reachable_ = true;
  Jobs jobs_;                                     // as last heard; latest first
  Jobs begun_;                                    // since the last list was asked for
  std::map<std::string, std::string> sentences_;  // by job, what became of its verdict
  std::set<std::string> settled_;                 // jobs
  // Verdicts that couldn't be applied, by job.
  struct Failure {
    int tries = 0;
    absl::Time again = absl::InfinitePast();
  };
  std::map<std::string, Failure> failures_;
  std::map<std::string, Job::State> states_;  // by job
  ProgressCurves curves_;
  bool heard_ = false;
  std::map<std::string, bool> counting_;  // projects; whether something has come meanwhile
  // Projects that a request has shown, "7.1795395253".
  containers::Lru<bool> shown_{/*max_entries=*/10'000, /*max_bytes=*/4 << 20};
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_TRAININGS_H_
