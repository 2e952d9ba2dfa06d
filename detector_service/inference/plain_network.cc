#include "detector_service/inference/plain_network.h"

#include <absl/strings/str_cat.h>
#include <c10/core/Device.h>

#include <utility>
#include <variant>
#include <vector>

#include "nn/torch_status.h"

namespace detector {
namespace {

std::vector<at::Tensor> Forward(Rtmdet& module, const at::Tensor& image) {
  return ListOutputs(module(image));
}

std::vector<at::Tensor> Forward(BlueprintModule& module, const at::Tensor& image) {
  return module->forward(image);
}

HeadLayout HeadOf(const Rtmdet& module) { return LayoutOf(module->config); }

HeadLayout HeadOf(const BlueprintModule& module) { return module->blueprint.head; }

at::Tensor ImageTensor(const float* input, vision::Size size, c10::Device device) {
  return torch::from_blob(const_cast<float*>(input), {1, 3, size.height, size.width}, at::kFloat)
      .to(device);
}

// [1, C, H, W] on any device → [1, H, W, C] floats on the CPU.
at::Tensor ChannelsLast(const at::Tensor& map) {
  return map.permute({0, 2, 3, 1}).to(at::kCPU, at::kFloat).contiguous();
}

template <typename Module>
class PlainNetwork final : public Network {
 public:
  PlainNetwork(Module module, c10::Device device)
      : module_(std::move(module)), head_(HeadOf(module_)), device_(device) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    return nn::CatchTorch("run the detector", [&] {
      const c10::InferenceMode no_autograd;
      outputs_ = Forward(module_, ImageTensor(input, size, device_));
      std::vector<OutputMap> maps;
      for (at::Tensor& map : outputs_) {
        map = ChannelsLast(map);
        const auto side = [&](int dim) { return static_cast<int>(map.size(dim)); };
        maps.push_back({map.data_ptr<float>(), side(3), side(1), side(2)});
      }
      *output = Interpret(head_, maps);
    });
  }

 private:
  Module module_;
  const HeadLayout head_;
  const c10::Device device_;
  std::vector<at::Tensor> outputs_;  // what the last output points into
};

absl::StatusOr<c10::Device> MoveTo(const std::string& device, torch::nn::Module& module) {
  try {
    const c10::Device target(device);
    module.to(target);
    module.eval();
    return target;
  } catch (...) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", device,
        "' cannot be used: ", std::string(nn::StatusOfCurrentException("LibTorch").message())));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(const DetectorModules& modules,
                                                          const std::string& device) {
  return std::visit(
      [&]<typename Module>(Module module) -> absl::StatusOr<std::unique_ptr<Network>> {
        const absl::StatusOr<c10::Device> target = MoveTo(device, *module);
        if (!target.ok()) return target.status();
        return std::make_unique<PlainNetwork<Module>>(std::move(module), *target);
      },
      modules);
}

}  // namespace detector
