#include "detector_service/inference/packed_network.h"

#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "detector_service/packed/blueprint_graph.h"
#include "detector_service/packed/rtmdet_graph.h"
#include "nn/torch_status.h"

namespace detector {
namespace {

HeadLayout HeadOf(const RtmdetImpl& module) { return GraphLayoutOf(module.config); }

HeadLayout HeadOf(const BlueprintModuleImpl& module) { return module.blueprint.head; }

class PackedNetwork final : public Network {
 public:
  PackedNetwork(std::unique_ptr<nn::onednn::Program> program, HeadLayout head,
                vision::Size input_size)
      : program_(std::move(program)), head_(std::move(head)), input_size_(input_size) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    if (size != input_size_) {
      return absl::InternalError(absl::StrFormat("compiled for %dx%d, asked to run %dx%d",
                                                 input_size_.width, input_size_.height, size.width,
                                                 size.height));
    }
    program_->Run(input);
    std::vector<OutputMap> maps;
    for (std::size_t i = 0; i < program_->output_count(); ++i) {
      const nn::onednn::Program::Output map = program_->output(i);
      maps.push_back({map.data, map.channels, map.height, map.width});
    }
    *output = Interpret(head_, maps);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<nn::onednn::Program> program_;
  const HeadLayout head_;
  const vision::Size input_size_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const DetectorModules& modules, vision::Size input_size,
    const nn::onednn::CompileOptions& options) {
  return std::visit(
      [&](const auto& module) -> absl::StatusOr<std::unique_ptr<Network>> {
        auto program = nn::CatchTorch("pack the detector", [&] {
          nn::onednn::Graph graph;
          BuildGraph(*module, input_size, graph);
          return graph.Compile(options);
        });
        if (!program.ok()) return program.status();
        return std::make_unique<PackedNetwork>(*std::move(program), HeadOf(*module), input_size);
      },
      modules);
}

}  // namespace detector
