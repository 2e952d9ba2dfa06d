// Holds the model that serves and can replace it while requests are running: the next one is loaded
// and warmed up beside it, then swapped in; requests that hold the old one finish with it.
#ifndef DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
#define DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "detector_service/inference/detection_model.h"

namespace detector {

struct ReloadOptions {
  bool enabled = false;
  // Below it lie the files that Reload may read; empty: none but the ones already in use.
  std::string model_root;
  int threads = 1;
};

struct Reloaded {
  std::shared_ptr<DetectionModel> model;
  std::string previous_version;
  // Resident memory of the process when both models were loaded.
  std::uint64_t peak_memory_bytes = 0;
};

// Thread-safe.
class ModelHost {
 public:
  ModelHost(std::shared_ptr<DetectionModel> model, ReloadOptions options);

  // Never null; valid for as long as the caller holds it.
  std::shared_ptr<DetectionModel> Current() const;

  // Paths are relative to model_root; absent ones are read again from where they were. On any error
  // the old model goes on serving: PermissionDenied (not enabled), Aborted (another reload is
  // running), InvalidArgument (outside of model_root), or what DetectionModel::Load says.
  absl::StatusOr<Reloaded> Reload(const std::optional<std::string>& checkpoint,
                                  const std::optional<std::string>& config_file);

 private:
  const ReloadOptions options_;
  std::mutex reloading_;
  mutable std::mutex mutex_;
  std::shared_ptr<DetectionModel> model_;  // guarded by mutex_
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
