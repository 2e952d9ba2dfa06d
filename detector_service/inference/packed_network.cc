#include "detector_service/inference/packed_network.h"

#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "detector_service/packed/rtmdet_graph.h"
#include "nn/torch_status.h"

namespace detector {
namespace {

class PackedNetwork final : public Network {
 public:
  PackedNetwork(std::unique_ptr<nn::onednn::Program> program, const RtmdetConfig& config,
                vision::Size input_size)
      : program_(std::move(program)), config_(config), input_size_(input_size) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    if (size != input_size_) {
      return absl::InternalError(absl::StrFormat("compiled for %dx%d, asked to run %dx%d",
                                                 input_size_.width, input_size_.height, size.width,
                                                 size.height));
    }
    program_->Run(input);
    output->num_classes = config_.num_classes;
    for (int i = 0; i < kLevels; ++i) {
      const auto logits = program_->output(2 * i);
      const auto distances = program_->output(2 * i + 1);
      distances_[i].assign(distances.data, distances.data + std::size_t{1} * distances.height *
                                                                distances.width *
                                                                distances.channels);
      const auto stride = static_cast<float>(kStrides[i]);
      for (float& d : distances_[i]) d = (config_.exp_on_reg ? std::exp(d) : d) * stride;
      output->levels[i] = {.grid = {logits.width, logits.height},
                           .logits = {logits.data, static_cast<std::size_t>(logits.channels)},
                           .boxes = {distances_[i].data(), 4}};
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<nn::onednn::Program> program_;
  const RtmdetConfig config_;
  const vision::Size input_size_;
  std::array<std::vector<float>, kLevels> distances_;  // what the last output points into
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const RtmdetImpl& model, vision::Size input_size, const nn::onednn::CompileOptions& options) {
  absl::StatusOr<std::unique_ptr<nn::onednn::Program>> program = absl::InternalError("not built");
  const absl::Status built = nn::CatchTorch("pack the detector", [&] {
    nn::onednn::Graph graph;
    BuildGraph(model, input_size, graph);
    program = graph.Compile(options);
  });
  if (!built.ok()) return built;
  if (!program.ok()) return program.status();
  return std::make_unique<PackedNetwork>(*std::move(program), model.config, input_size);
}

}  // namespace detector
