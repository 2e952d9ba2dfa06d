#include "detector_service/inference/plain_network.h"

#include <absl/strings/str_cat.h>
#include <c10/core/Device.h>

#include <utility>

#include "nn/torch_status.h"

namespace detector {
namespace {

// [1, C, H, W] on any device → [1, H, W, C] floats on the CPU.
at::Tensor ChannelsLast(const at::Tensor& map) {
  return map.permute({0, 2, 3, 1}).to(at::kCPU, at::kFloat).contiguous();
}

RawRows Rows(const at::Tensor& map) {
  return {map.data_ptr<float>(), static_cast<std::size_t>(map.size(3))};
}

class PlainNetwork final : public Network {
 public:
  PlainNetwork(Rtmdet model, c10::Device device) : model_(std::move(model)), device_(device) {}

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    return nn::CatchTorch("run the detector", [&] {
      c10::InferenceMode no_autograd;
      const at::Tensor image =
          torch::from_blob(const_cast<float*>(input), {1, 3, size.height, size.width}, at::kFloat)
              .to(device_);
      const HeadOutput raw = model_(image);
      output->num_classes = model_->config.num_classes;
      for (int i = 0; i < kLevels; ++i) {
        logits_[i] = ChannelsLast(raw.cls_logits[i]);
        distances_[i] = ChannelsLast(raw.distances[i]);
        output->levels[i] = {
            .grid = {static_cast<int>(logits_[i].size(2)), static_cast<int>(logits_[i].size(1))},
            .logits = Rows(logits_[i]),
            .boxes = Rows(distances_[i])};
      }
    });
  }

 private:
  Rtmdet model_;
  const c10::Device device_;
  Features logits_;  // what the last output points into
  Features distances_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(Rtmdet model, const std::string& device) {
  try {
    const c10::Device target(device);
    model->to(target);
    model->eval();
    return std::make_unique<PlainNetwork>(std::move(model), target);
  } catch (...) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", device,
        "' cannot be used: ", std::string(nn::StatusOfCurrentException("LibTorch").message())));
  }
}

}  // namespace detector
