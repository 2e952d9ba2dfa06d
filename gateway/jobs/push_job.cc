#include "gateway/jobs/push_job.h"

#include <boost/json/value.hpp>

#include "serving/request_context.h"

namespace gateway::jobs {
namespace {

namespace json = boost::json;

// Short enough to type.
std::string NewJobId() { return serving::RequestContext().request_id().substr(0, 12); }

json::value ToJson(absl::Time time) {
  if (time == absl::InfiniteFuture()) return nullptr;
  return json::value(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()));
}

}  // namespace

PushJob::PushJob(const prelabel::PredictContext& predict, std::string_view project_id,
                 TaskClaims::Owner owner)
    : id(NewJobId()),
      request_id(predict.call.request_id),
      traceparent(predict.call.traceparent),
      project_id(project_id),
      project_created(predict.project_created),
      model_name(predict.model_name),
      owner(owner),
      profile(predict.profile),
      model_version(predict.model_version),
      label_studio(predict.label_studio),
      project(predict.project) {}

std::string_view NameOf(PushJob::State state) {
  switch (state) {
    case PushJob::State::kRunning:
      return "running";
    case PushJob::State::kDone:
      return "done";
    case PushJob::State::kFailed:
      return "failed";
    case PushJob::State::kCancelled:
      return "cancelled";
    case PushJob::State::kDropped:
      return "dropped";
  }
  return "";
}

json::object Describe(const PushJob& job) {
  const bool paused = job.state == PushJob::State::kRunning && job.resume_at > absl::Now();
  return {{"id", job.id},
          {"state", paused ? "paused" : NameOf(job.state)},
          {"profile", job.profile.name},
          {"project", job.project_id},
          {"model_version", job.model_version},
          {"request_id", job.request_id},
          {"tasks", job.total},
          {"waiting", job.waiting.size()},
          {"in_work", job.in_work},
          {"stored", job.stored},
          {"already_there", job.already_there},
          {"failed", job.failed},
          {"created_at", ToJson(job.created)},
          {"finished_at", ToJson(job.finished)},
          {"error", job.error.empty() ? json::value(nullptr) : json::value(job.error)}};
}

}  // namespace gateway::jobs
