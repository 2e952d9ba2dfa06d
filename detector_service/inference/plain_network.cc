#include "detector_service/inference/plain_network.h"

#include <absl/strings/str_cat.h>
#include <c10/core/Device.h>

#include <utility>

#include "nn/torch_status.h"

namespace detector {
namespace {

// [1, C, H, W] on any device → [H * W, C] floats.
void CopyOut(const at::Tensor& map, std::vector<float>* out) {
  out->resize(map.numel());
  at::Tensor view =
      torch::from_blob(out->data(), {map.size(2), map.size(3), map.size(1)}, at::kFloat);
  view.copy_(map.squeeze(0).permute({1, 2, 0}));
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
        RawLevel& level = output->levels[i];
        level.grid = {static_cast<int>(raw.cls_logits[i].size(3)),
                      static_cast<int>(raw.cls_logits[i].size(2))};
        CopyOut(raw.cls_logits[i], &level.logits);
        CopyOut(raw.distances[i], &level.distances);
      }
    });
  }

 private:
  Rtmdet model_;
  const c10::Device device_;
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
