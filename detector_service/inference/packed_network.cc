#include "detector_service/inference/packed_network.h"

#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "detector_service/packed/rtmdet_graph.h"

namespace detector {
namespace {

class PackedNetwork final : public Network {
 public:
  PackedNetwork(std::unique_ptr<nn::onednn::Program> program, const RtmdetConfig& config,
                vision::Size input_size)
      : program_(std::move(program)), config_(config), input_size_(input_size) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    const absl::Status fits = CheckCompiledSize(input_size_, size);
    if (!fits.ok()) return fits;
    program_->Run(input);
    *output = {.num_classes = config_.num_classes};
    std::size_t index = 0;  // in the order of BuildGraph
    const auto next = [&] { return Rows(program_->output(index++)); };
    for (int i = 0; i < kLevels; ++i) {
      RawLevel& level = output->levels[i];
      level.grid = {program_->output(index).width, program_->output(index).height};
      level.logits = next();
      level.boxes = Distances(program_->output(index++), i);
      if (config_.head == HeadKind::kRotated) level.angles = next();
      if (config_.head == HeadKind::kInstances) level.kernels = next();
    }
    if (config_.head == HeadKind::kInstances) output->mask_features = next();
    return absl::OkStatus();
  }

 private:
  static RawRows Rows(const nn::onednn::Program::Output& map) {
    return {map.data, static_cast<std::size_t>(map.channels)};
  }

  // What the head makes of rtm_reg's numbers.
  RawRows Distances(const nn::onednn::Program::Output& raw, int level) {
    const auto stride = static_cast<float>(kStrides[level]);
    std::vector<float>& distances = distances_[level];
    distances.assign(raw.data, raw.data + std::size_t{1} * raw.height * raw.width * raw.channels);
    for (float& d : distances) {
      if (config_.exp_on_reg) d = std::exp(d);
      if (config_.head == HeadKind::kInstances) d = std::max(d, 0.0F);
      d *= stride;
    }
    return {distances.data(), static_cast<std::size_t>(raw.channels)};
  }

  const std::unique_ptr<nn::onednn::Program> program_;
  const RtmdetConfig config_;
  const vision::Size input_size_;
  std::array<std::vector<float>, kLevels> distances_;  // what the last output points into
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const RtmdetImpl& model, vision::Size input_size, const nn::onednn::CompileOptions& options) {
  auto program = CompileNetwork(model, input_size, options);
  if (!program.ok()) return program.status();
  return std::make_unique<PackedNetwork>(*std::move(program), model.config, input_size);
}

absl::Status CheckCompiledSize(vision::Size compiled, vision::Size asked) {
  if (compiled == asked) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat("compiled for %dx%d, asked to run %dx%d",
                                             compiled.width, compiled.height, asked.width,
                                             asked.height));
}

}  // namespace detector
