// EmbeddingRun: one project whose images are embedded. Internal to EmbeddingRuns.
#ifndef DUET_GATEWAY_JOBS_EMBEDDING_RUN_H_
#define DUET_GATEWAY_JOBS_EMBEDDING_RUN_H_

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "backends/client.h"
#include "label_studio_api/label_studio_site.h"
#include "prelabel/profiles.h"
#include "prelabel/project.h"

namespace gateway::jobs {

// Who wants which project embedded.
struct EmbeddingRequest {
  const prelabel::Profile& profile;
  std::string key;  // Application::ProjectKey
  std::string project_id;
  std::int64_t project_created = 0;  // seconds since 1970; 0: it isn't known
  std::int64_t tasks = 0;            // that it has now; 0: it isn't known
  std::shared_ptr<prelabel::Project> project;
  std::string model_name;  // that its models are asked for by
  // What keeps its embeddings.
  std::shared_ptr<const backends::SegmenterModel> segmenter;
  label_studio_api::LabelStudioSite label_studio;
  std::string who;  // for the log
  std::string request_id;
};

struct EmbeddingRun {
  enum class State { kWaiting, kRunning, kDone, kFailed, kCancelled, kDropped };

  explicit EmbeddingRun(EmbeddingRequest asked) : request(std::move(asked)) {}
  bool has_ended() const { return state != State::kWaiting && state != State::kRunning; }

  // Constant, but for `project`, which is null once it has ended: it may be large.
  EmbeddingRequest request;
  const absl::Time created = absl::Now();

  // Of the strand of EmbeddingRuns.
  boost::asio::cancellation_signal cancel;

  // Guarded by the mutex of EmbeddingRuns.
  State state = State::kWaiting;
  std::int64_t tasks_done = 0;  // with those that failed
  std::int64_t encoded = 0;     // images
  std::int64_t already_there = 0;
  std::int64_t failed = 0;       // tasks
  std::uint64_t kept_bytes = 0;  // that its embeddings take in the store
  // The first tasks that failed, and why.
  std::deque<std::pair<std::int64_t, std::string>> failures;
  bool paused = false;
  std::string error;                                  // the last one
  absl::Time failing_since = absl::InfiniteFuture();  // no success since then
  absl::Time begun = absl::InfiniteFuture();
  absl::Time finished = absl::InfiniteFuture();
};

std::string_view NameOf(EmbeddingRun::State state);

// For GET /embed/{project}. REQUIRES: the mutex is held.
boost::json::object Describe(const EmbeddingRun& run);

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_EMBEDDING_RUN_H_
