// Runs a network that is described by a Blueprint: by LibTorch or compiled for the CPU, as
// plain_network.h and packed_network.h do with RTMDet.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_BLUEPRINT_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_BLUEPRINT_NETWORK_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "detector_service/inference/network.h"
#include "detector_service/model/blueprint_module.h"
#include "nn/onednn/graph.h"

namespace detector {

// `device`: "cpu" or "cuda[:N]"; FailedPrecondition if this LibTorch or machine has no such device.
absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(BlueprintModule module,
                                                          const std::string& device);

// For inputs of just this size. Unimplemented where the CPU has no fast kernels; the weights are
// copied, so `module` may go.
absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const BlueprintModuleImpl& module, vision::Size input_size,
    const nn::onednn::CompileOptions& options);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_BLUEPRINT_NETWORK_H_
