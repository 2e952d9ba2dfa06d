// Runs a network compiled for the CPU (packed/, nn/onednn): what the service uses wherever there is
// no GPU.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_

#include <absl/status/statusor.h>

#include <memory>

#include "detector_service/families/family.h"
#include "detector_service/inference/network.h"
#include "nn/onednn/graph.h"
#include "vision/geometry.h"

namespace detector {

// For inputs of exactly this size. Unimplemented where the CPU has no fast kernels. The weights are
// copied; the modules are not needed afterwards.
absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const DetectorModules& modules, vision::Size input_size,
    const nn::onednn::CompileOptions& options);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
