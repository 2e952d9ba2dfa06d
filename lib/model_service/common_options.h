// The flags that all processes which serve a model have in common.
#ifndef DUET_MODEL_SERVICE_COMMON_OPTIONS_H_
#define DUET_MODEL_SERVICE_COMMON_OPTIONS_H_

#include <absl/strings/string_view.h>

#include <string>
#include <string_view>

#include "model_service/named_models.h"
#include "model_service/reload.h"
#include "otlp/options.h"
#include "serving/flags.h"
#include "serving/grpc_server.h"
#include "serving/process.h"
#include "vision/image_codec.h"

namespace model_service {

// Where a model computes: "cpu", "cuda" or "cuda:N". A flag may also write it as PyTorch and people
// do: "cpu:0", "CPU", "gpu".
struct Device {
  std::string name = "cpu";
};
bool AbslParseFlag(absl::string_view text, Device* device, std::string* error);
std::string AbslUnparseFlag(const Device& device);

// Each service sets its own defaults before AddFlags: ports, queue size, image limits.
struct CommonOptions {
  std::string checkpoint;
  Device device;
  std::string precision = "fp32";  // or "fp32-strict", "bf16"
  int threads = 0;                 // 0: as many as the process has CPUs
  std::string kernel_plan;         // empty: chosen anew by each process
  int queue_size = 64;
  std::string image_root;  // empty: no files
  int max_image_mb = 0;    // 0: as server.max_message_mb
  int max_image_megapixels = 100;
  ReloadOptions reload;
  int model_budget_mb = 1024;
  int model_poll_ms = 500;
  serving::GrpcServerOptions server;
  serving::ProcessOptions process;
  otlp::Options otlp;

  vision::ImageLimits image_limits() const;
  // For the models below --model_root. Requests that wait for one take a quarter of the handlers at
  // most, so that others get theirs.
  NamedModelsOptions named_models(model_store::Kind kind) const;
};

// `checkpoint_help`: which files this service reads.
void AddFlags(CommonOptions* options, std::string_view checkpoint_help, serving::FlagTable* flags);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_COMMON_OPTIONS_H_
