// NamedModels holds the models below a model root (model_store/model_store.h) beside the one that a
// process was started with: several fine-tuned ones, each under its name.
//
// A thread of its own reads every name's serving.json, again and again. What a name is to serve is
// loaded by the first request that asks for it; a new version of a name that is loaded is loaded
// beside the old one, which serves until then, and takes its place. Both happen on threads of their
// own, so that no request waits for another name's load. Together the models stay within a budget:
// the one that was used least recently goes, unless a request holds it or waits for it.
//
//   unloaded ─request─▶ loading ─▶ loaded ─new version─▶ loading, the old one serves ─▶ loaded
//       ▲                  └─▶ failed: tried again after a while                       │
//       └──────────── budget needed, or serving.json names no version any more ◀───────┘
#ifndef DUET_MODEL_SERVICE_NAMED_MODELS_H_
#define DUET_MODEL_SERVICE_NAMED_MODELS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "duet/vision/v1/model.pb.h"
#include "model_service/model_file.h"
#include "model_store/model_store.h"
#include "serving/metrics.h"

namespace model_service {

inline constexpr serving::CounterSpec kModelLoads{
    "duet_model_loads_total", "Loads of named models that ended; result: ok, failed.", "result"};
inline constexpr serving::CounterSpec kModelWaitsRefused{
    "duet_model_waits_refused_total",
    "Requests that found a named model not loaded, and too many others waiting for one."};
inline constexpr serving::GaugeSpec kNamedModelBytes{
    "duet_named_model_bytes", "Memory of named models, about: loaded, being loaded, still in use."};
inline constexpr serving::GaugeSpec kModelStoredVersion{
    "duet_model_stored_version",
    "Version that a name's serving.json says; 0: the default model serves it.", "name"};
inline constexpr serving::GaugeSpec kModelLoadedVersion{
    "duet_model_loaded_version", "Version of a name that is loaded; 0: none is.", "name"};
inline constexpr serving::GaugeSpec kModelFailed{
    "duet_model_failed", "1 while a name's version can't be loaded, else 0.", "name"};

struct NamedModelsOptions {
  std::string model_root;
  model_store::Kind kind = model_store::Kind::kDetector;
  // For all models below the root together.
  std::uint64_t budget_bytes = std::uint64_t{1} << 30;
  // What a model takes besides its weights, about: code that is compiled for it, buffers.
  std::uint64_t overhead_bytes = std::uint64_t{32} << 20;
  // Weights that a model may turn out to hold in common with one that is loaded already. Whether it
  // does is known when it is loaded, so until then it counts as if it did.
  std::uint64_t shareable_bytes = 0;
  absl::Duration poll_interval = absl::Milliseconds(500);
  // After a load that failed; doubles each time up to five minutes.
  absl::Duration retry_delay = absl::Seconds(10);
  // Requests that wait for a load; of one name at most half as many. Each holds a handler.
  int max_waiting = 32;
};

struct LoadedModel {
  std::shared_ptr<void> model;  // not null
  std::string version;          // ModelInfo.version
  // Memory that it takes or may come to take besides its weights and `overhead_bytes`.
  std::uint64_t more_bytes = 0;
  // Of its weights, those that another model holds anyway.
  std::uint64_t shared_bytes = 0;
};

// Until when a caller wants its model.
struct WaitLimits {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> is_cancelled;  // may be null
};

// Thread-safe.
class NamedModels {
 public:
  // Loads the model of a file and warms it up. Called on threads of this object, two at a time.
  using Load = std::function<absl::StatusOr<LoadedModel>(const ModelFile& file)>;

  // Looks at the root once before it returns. `metrics` must outlive this.
  NamedModels(NamedModelsOptions options, Load load, serving::Metrics& metrics);
  // Waits for loads that are running. REQUIRES: nobody is in Get any more.
  ~NamedModels();

  // The model that serves under `name`, which is whatever a client wrote: names that aren't known
  // cost a look-up in memory. Waits if it has to be loaded. Who holds the model keeps it in memory.
  // FailedPrecondition: there is no such name, the default model serves it, or it can't be loaded;
  // ResourceExhausted, at once: too many wait already; DeadlineExceeded, Cancelled.
  absl::StatusOr<std::shared_ptr<void>> Get(const std::string& name, const WaitLimits& limits);

  // All names, sorted. FailedPrecondition as long as the root could never be read, since it isn't
  // known then which there are.
  absl::StatusOr<std::vector<duet::vision::v1::ModelStatus>> List() const;

  // Reads the root now, as this does by itself every `poll_interval`.
  void Poll();

 private:
  // What a name is to serve.
  struct Stored {
    std::uint64_t version = 0;
    std::string sha256;  // of its weights: a name that was deleted begins again with version 1
    std::uint64_t bytes = 0;
    // Whose annotations made it.
    std::string label_studio_url;
    std::string project_created;
    bool operator==(const Stored&) const = default;
  };
  struct Entry;
  struct Seen;
  struct Task {
    std::shared_ptr<Entry> entry;
    Stored stored;
  };
  // Models to be destroyed when no lock is held any more.
  using Garbage = std::vector<std::shared_ptr<void>>;

  // Reads what a name is to serve. Called by one thread at a time.
  Seen Look(const std::string& name) const;
  // Those that follow REQUIRE: `mutex_` is held.
  void Take(const std::string& name, Seen seen, Garbage* garbage);
  // Lets the name's model go; who holds it keeps it, and it counts until then.
  void Drop(Entry& entry, const char* why, Garbage* garbage);
  std::uint64_t UsedBytes();
  // Why no request can have the name's model, now and after a load; OK if one can.
  absl::Status WhyNever(const Entry& entry) const;
  absl::Status NoSuchName(const std::string& name) const;
  absl::Status BeginWaiting(Entry& entry);
  // The next load that may begin; frees memory for it.
  std::optional<Task> TakeTask(Garbage* garbage);
  absl::Status TooLarge(const Stored& stored, std::uint64_t bytes, std::uint64_t beside) const;
  bool MakeRoom(const Entry& entry, std::uint64_t bytes, Garbage* garbage);
  void Finish(const Task& task, absl::StatusOr<LoadedModel> loaded, Garbage* garbage);
  void Fail(Entry& entry, const Stored& stored, const absl::Status& status);
  void ShowInMetrics(Entry& entry);

  absl::StatusOr<LoadedModel> LoadStored(const Task& task) const;
  void PollLoop();
  void LoadLoop();

  const NamedModelsOptions options_;
  const Load load_;
  const model_store::ModelStore store_;
  serving::Metrics& metrics_;

  std::mutex polling_;           // held by who reads the root
  std::string last_poll_error_;  // guarded by polling_

  mutable std::mutex mutex_;  // guards what follows
  // Why the root could never be read; OK: it was.
  absl::Status unread_ = absl::FailedPreconditionError("the model root was not read yet");
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::set<std::string> pending_;  // names that are to be loaded
  std::vector<std::pair<std::weak_ptr<void>, std::uint64_t>> retired_;
  std::uint64_t uses_ = 0;  // counts, for the order of uses
  int waiting_ = 0;
  bool stopped_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_NAMED_MODELS_H_
