// Runs a network compiled for the CPU (packed/, nn/onednn): the way of the service wherever there
// is no GPU.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>

#include "detector_service/inference/network.h"
#include "detector_service/model/detector.h"
#include "nn/onednn/graph.h"
#include "nn/torch_status.h"

namespace detector {

// For inputs of just this size. Unimplemented where the CPU has no fast kernels; the weights are
// copied, so `model` may go.
absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const RtmdetImpl& model, vision::Size input_size, const nn::onednn::CompileOptions& options);

// What every packed network does: BuildGraph(model, input_size, …), compiled.
template <typename Model>
absl::StatusOr<std::unique_ptr<nn::onednn::Program>> CompileNetwork(
    const Model& model, vision::Size input_size, const nn::onednn::CompileOptions& options) {
  return nn::CatchTorch("pack the detector", [&] {
    nn::onednn::Graph graph;
    BuildGraph(model, input_size, graph);
    return graph.Compile(options);
  });
}
// Internal unless `asked` is the size that the network was compiled for.
absl::Status CheckCompiledSize(vision::Size compiled, vision::Size asked);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PACKED_NETWORK_H_
