#include "detector_service/inference/plain_network.h"

#include <absl/strings/str_cat.h>
#include <c10/core/Device.h>

#include <utility>
#include <vector>

#include "nn/torch_status.h"

namespace detector {
namespace {

class PlainNetwork final : public Network {
 public:
  PlainNetwork(Rtmdet model, c10::Device device) : model_(std::move(model)), device_(device) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    return nn::CatchTorch("run the detector", [&] {
      c10::InferenceMode no_autograd;
      const HeadOutput raw = model_(PictureTensor(input, size, device_));
      *output = {.num_classes = model_->config.num_classes};
      maps_.clear();
      for (int i = 0; i < kLevels; ++i) {
        const at::Tensor& logits = raw.cls_logits[i];
        output->levels[i] = {
            .grid = {static_cast<int>(logits.size(3)), static_cast<int>(logits.size(2))},
            .logits = Keep(logits),
            .boxes = Keep(raw.distances[i]),
            .angles = Keep(raw.angles[i]),
            .kernels = Keep(raw.kernels[i])};
      }
      output->mask_features = Keep(raw.mask_features);
    });
  }

 private:
  // Nothing for what the head doesn't predict.
  RawRows Keep(const at::Tensor& map) {
    if (!map.defined()) return {};
    maps_.push_back(ChannelsLast(map));
    return {maps_.back().data_ptr<float>(), static_cast<std::size_t>(maps_.back().size(3))};
  }

  Rtmdet model_;
  const c10::Device device_;
  std::vector<at::Tensor> maps_;  // what the last output points into
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(Rtmdet model, const std::string& device) {
  const absl::StatusOr<c10::Device> target = MoveTo(device, *model);
  if (!target.ok()) return target.status();
  return std::make_unique<PlainNetwork>(std::move(model), *target);
}

absl::StatusOr<c10::Device> MoveTo(const std::string& device, torch::nn::Module& modules) {
  try {
    const c10::Device target(device);
    modules.to(target);
    modules.eval();
    return target;
  } catch (...) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", device,
        "' cannot be used: ", std::string(nn::StatusOfCurrentException("LibTorch").message())));
  }
}

at::Tensor PictureTensor(const float* input, vision::Size size, c10::Device device) {
  return torch::from_blob(const_cast<float*>(input), {1, 3, size.height, size.width}, at::kFloat)
      .to(device);
}

at::Tensor ChannelsLast(const at::Tensor& map) {
  return map.permute({0, 2, 3, 1}).to(at::kCPU, at::kFloat).contiguous();
}

}  // namespace detector
