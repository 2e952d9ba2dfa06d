// ModelHost holds the model that serves and replaces it while requests are running: the next one is
// loaded and warmed up beside it, then takes its place. Requests that hold the old one finish with
// it.
#ifndef DUET_MODEL_SERVICE_MODEL_HOST_H_
#define DUET_MODEL_SERVICE_MODEL_HOST_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "duet/vision/v1/model.pb.h"
#include "model_service/reload.h"
#include "serving/process_metrics.h"

namespace model_service {

template <typename Model>
struct Reloaded {
  std::shared_ptr<Model> model;     // serves now
  std::shared_ptr<Model> previous;  // served before
  // Resident memory of the process when both were loaded.
  std::uint64_t peak_memory_bytes = 0;
};

// Thread-safe.
template <typename Model>
class ModelHost {
 public:
  // Loads the model of `files` with the options of `current`, the one that serves, and warms it up.
  using Loader = std::function<absl::StatusOr<std::shared_ptr<Model>>(const Model& current,
                                                                      const ReloadFiles& files)>;

  // Is told which model serves from now on. Called one at a time.
  using OnServing = std::function<void(const Model& model)>;

  // REQUIRES: `model` is not null; nor is `load`, if `options` enable reloading.
  explicit ModelHost(std::shared_ptr<Model> model, ReloadOptions options = {},
                     Loader load = nullptr, OnServing on_serving = nullptr)
      : options_(std::move(options)), load_(std::move(load)), on_serving_(std::move(on_serving)) {
    Replace(std::move(model));
  }

  // Never null; valid for as long as the caller holds it.
  std::shared_ptr<Model> Current() const {
    const std::lock_guard lock(mutex_);
    return model_;
  }

  // Lets `model`, which is warm, answer all requests that begin from now on. REQUIRES: not null.
  void Replace(std::shared_ptr<Model> model) {
    const std::lock_guard lock(mutex_);
    model_ = std::move(model);
    if (on_serving_) on_serving_(*model_);
  }

  // Loads, warms up and replaces, on the calling thread. On any error the old model goes on
  // serving: what FindReloadFiles says; Aborted, at once, while another reload is running, since
  // each holds a second model in memory; what the loader says.
  absl::StatusOr<Reloaded<Model>> Reload(const duet::vision::v1::ReloadModelRequest& request) {
    const absl::StatusOr<ReloadFiles> files = FindReloadFiles(request, options_);
    if (!files.ok()) return files.status();
    const std::unique_lock reload_lock(reloading_, std::try_to_lock);
    if (!reload_lock.owns_lock()) return absl::AbortedError("another reload is running");

    std::shared_ptr<Model> previous = Current();
    absl::StatusOr<std::shared_ptr<Model>> next = load_(*previous, *files);
    if (!next.ok()) return next.status();
    const std::uint64_t peak_memory_bytes = serving::ResidentBytes();
    Replace(*next);
    return Reloaded<Model>{*std::move(next), std::move(previous), peak_memory_bytes};
  }

 private:
  const ReloadOptions options_;
  const Loader load_;
  const OnServing on_serving_;
  std::mutex reloading_;
  mutable std::mutex mutex_;
  std::shared_ptr<Model> model_;  // guarded by mutex_
};

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MODEL_HOST_H_
