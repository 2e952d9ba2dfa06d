#include "gateway/jobs/embedding_run.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "prelabel/kept_embeddings.h"

namespace gateway::jobs {
namespace {

namespace json = boost::json;

json::value ToJson(absl::Time time) {
  if (time == absl::InfiniteFuture()) return nullptr;
  return json::value(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()));
}

json::value OrNull(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

// By how long those that are done took.
json::value SecondsLeft(const EmbeddingRun& run) {
  const std::int64_t left = run.request.tasks - run.tasks_done;
  if (run.state != EmbeddingRun::State::kRunning || run.tasks_done == 0 || left < 0) {
    return nullptr;
  }
  const double each =
      absl::ToDoubleSeconds(absl::Now() - run.begun) / static_cast<double>(run.tasks_done);
  return json::value(static_cast<std::int64_t>(each * static_cast<double>(left)));
}

}  // namespace

std::string_view NameOf(EmbeddingRun::State state) {
  switch (state) {
    case EmbeddingRun::State::kWaiting:
      return "waiting";
    case EmbeddingRun::State::kRunning:
      return "running";
    case EmbeddingRun::State::kDone:
      return "done";
    case EmbeddingRun::State::kFailed:
      return "failed";
    case EmbeddingRun::State::kCancelled:
      return "cancelled";
    case EmbeddingRun::State::kDropped:
      return "dropped";
  }
  return "";
}

json::object Describe(const EmbeddingRun& run) {
  const EmbeddingRequest& request = run.request;
  const auto tasks = static_cast<std::uint64_t>(request.tasks);
  const bool paused = run.state == EmbeddingRun::State::kRunning && run.paused;
  json::array failures;
  for (const auto& [task, error] : run.failures) {
    failures.push_back(json::object{{"task", task}, {"error", error}});
  }
  return {{"project", request.project_id},
          {"profile", request.profile.name},
          {"state", paused ? "paused" : NameOf(run.state)},
          {"message", prelabel::EmbeddingSentence(*request.segmenter, tasks, tasks)},
          {"tasks", request.tasks},
          {"tasks_done", run.tasks_done},
          {"encoded", run.encoded},
          {"already_there", run.already_there},
          {"failed", run.failed},
          {"failures", std::move(failures)},
          {"kept_bytes", run.kept_bytes},
          {"encoder", request.segmenter->encoder},
          {"seconds_left", SecondsLeft(run)},
          {"created_at", ToJson(run.created)},
          {"finished_at", ToJson(run.finished)},
          {"error", OrNull(run.error)}};
}

}  // namespace gateway::jobs
