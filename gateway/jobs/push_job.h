// PushJob: one job of BackgroundJobs, the rest of one /predict. Internal to jobs.
#ifndef DUET_GATEWAY_JOBS_PUSH_JOB_H_
#define DUET_GATEWAY_JOBS_PUSH_JOB_H_

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/json/object.hpp>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/jobs/task_claims.h"
#include "label_studio/task.h"
#include "label_studio_api/label_studio_site.h"
#include "prelabel/predictor.h"

namespace gateway::jobs {

// A task that waits or is in work.
struct PushItem {
  label_studio::Task task;
  std::string key;        // in TaskClaims
  std::size_t bytes = 0;  // without the prediction
  int tries = 0;
  prelabel::Prediction prediction = {};  // computed and not stored yet; empty: not computed

  std::size_t waiting_bytes() const { return bytes + prediction.json.capacity(); }
};

struct PushJob {
  enum class State { kRunning, kDone, kFailed, kCancelled, kDropped };

  PushJob(const prelabel::PredictContext& predict, std::string_view project_id,
          TaskClaims::Owner owner);

  // Constant after construction.
  const std::string id;
  const std::string request_id;  // of the /predict
  const std::string traceparent;
  const std::string project_id;
  const std::int64_t project_created;
  const std::string model_name;
  const TaskClaims::Owner owner;  // later jobs have higher ones
  const prelabel::Profile& profile;
  const std::string model_version;
  const label_studio_api::LabelStudioSite label_studio;
  const absl::Time created = absl::Now();

  // Guarded by the mutex of BackgroundJobs.
  State state = State::kRunning;
  // Null once nothing more is computed: it may be large.
  std::shared_ptr<prelabel::Project> project;
  std::deque<PushItem> waiting;
  std::size_t total = 0, in_work = 0, stored = 0, already_there = 0, failed = 0;
  int pauses = 0;  // since the last success
  absl::Time resume_at = absl::InfinitePast();
  absl::Time failing_since = absl::InfiniteFuture();  // no success since then
  std::string error;                                  // the last one
  absl::Time finished = absl::InfiniteFuture();
};

std::string_view NameOf(PushJob::State state);

// For GET /jobs. REQUIRES: the mutex is held.
boost::json::object Describe(const PushJob& job);

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_PUSH_JOB_H_
