// Runs a network compiled for the CPU (packed/, nn/onednn): what the service uses wherever there is
// no GPU.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "detector_service/families/family.h"
#include "detector_service/inference/network.h"
#include "nn/onednn/graph.h"
#include "vision/geometry.h"

namespace detector {

// Compiles the network for inputs of `input_size`. Unimplemented where the CPU has no fast kernels.
//
// Without `other_sizes_bytes` the weights are copied; the modules are not needed afterwards. With
// it the network runs inputs of other sizes, too, and keeps the modules; what they borrow must
// outlive it. A size is compiled for when its first input comes, which takes as long as a few
// images (docs/adr/0307). Programs of other sizes may take so many bytes together; those that were
// used longest ago go first, and the last one used stays. A size without fast kernels is run by the
// plain modules.
absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const DetectorModules& modules, vision::Size input_size,
    const nn::onednn::CompileOptions& options,
    std::optional<std::size_t> other_sizes_bytes = std::nullopt);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
