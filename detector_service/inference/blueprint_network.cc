#include "detector_service/inference/blueprint_network.h"

#include <utility>
#include <vector>

#include "detector_service/inference/packed_network.h"
#include "detector_service/inference/plain_network.h"
#include "detector_service/packed/blueprint_graph.h"
#include "nn/torch_status.h"

namespace detector {
namespace {

using Map = nn::onednn::Program::Output;  // channels innermost

// What the head's layout makes of the maps, whose memory is the caller's.
RawOutput Interpret(const HeadLayout& head, const std::vector<Map>& maps) {
  RawOutput output{.num_classes = head.num_classes, .coding = head.coding};
  const auto rows = [&](const HeadSlot& slot) -> RawRows {
    if (slot.output < 0) return {};
    const Map& map = maps[slot.output];
    return {map.data + slot.channel,
            static_cast<std::size_t>(map.channels / head.coding.per_cell())};
  };
  for (int i = 0; i < kLevels; ++i) {
    const HeadLayout::Level& level = head.levels[i];
    const Map& first = maps[level.logits.output];
    output.levels[i] = {.grid = {first.width, first.height},
                        .logits = rows(level.logits),
                        .boxes = rows(level.boxes),
                        .objectness = rows(level.objectness)};
  }
  return output;
}

class PlainBlueprintNetwork final : public Network {
 public:
  PlainBlueprintNetwork(BlueprintModule module, c10::Device device)
      : module_(std::move(module)), device_(device) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    return nn::CatchTorch("run the detector", [&] {
      const c10::InferenceMode no_autograd;
      outputs_ = module_->forward(PictureTensor(input, size, device_));
      std::vector<Map> maps;
      for (at::Tensor& map : outputs_) {
        map = ChannelsLast(map);
        const auto side = [&](int dim) { return static_cast<int>(map.size(dim)); };
        maps.push_back({map.data_ptr<float>(), side(3), side(1), side(2)});
      }
      *output = Interpret(module_->blueprint.head, maps);
    });
  }

 private:
  BlueprintModule module_;
  const c10::Device device_;
  std::vector<at::Tensor> outputs_;  // what the last output points into
};

class PackedBlueprintNetwork final : public Network {
 public:
  PackedBlueprintNetwork(std::unique_ptr<nn::onednn::Program> program, HeadLayout head,
                         vision::Size input_size)
      : program_(std::move(program)), head_(std::move(head)), input_size_(input_size) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    const absl::Status fits = CheckCompiledSize(input_size_, size);
    if (!fits.ok()) return fits;
    program_->Run(input);
    std::vector<Map> maps;
    for (std::size_t i = 0; i < program_->output_count(); ++i) maps.push_back(program_->output(i));
    *output = Interpret(head_, maps);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<nn::onednn::Program> program_;
  const HeadLayout head_;
  const vision::Size input_size_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(BlueprintModule module,
                                                          const std::string& device) {
  const absl::StatusOr<c10::Device> target = MoveTo(device, *module);
  if (!target.ok()) return target.status();
  return std::make_unique<PlainBlueprintNetwork>(std::move(module), *target);
}

absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const BlueprintModuleImpl& module, vision::Size input_size,
    const nn::onednn::CompileOptions& options) {
  auto program = CompileNetwork(module, input_size, options);
  if (!program.ok()) return program.status();
  return std::make_unique<PackedBlueprintNetwork>(*std::move(program), module.blueprint.head,
                                                  input_size);
}

}  // namespace detector
