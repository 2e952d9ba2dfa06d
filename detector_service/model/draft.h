// Draft: writes a Blueprint down, layer by layer, while reading a checkpoint's tensors: a
// convolution is as wide as its weight, a layer is there if its tensors are.
//
// What does not fit (a tensor that is missing, a weight whose input has other channels) makes the
// draft fail with the first such thing; what is drafted after that has no meaning and is not looked
// at.
#ifndef DUET_DETECTOR_SERVICE_MODEL_DRAFT_H_
#define DUET_DETECTOR_SERVICE_MODEL_DRAFT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector_service/model/blueprint.h"
#include "detector_service/model/tensor_index.h"

namespace detector {

// A layer's result.
struct Value {
  int layer = 0;
};

struct ConvStyle {
  int stride = 1;
  std::optional<Activation> activation;  // absent: the draft's
  std::optional<Value> residual;         // added in the end
  std::string residual_scale;            // path of a number that the residual is multiplied by
};

class Draft {
 public:
  // `activation`: what most convolutions have. `tensors` must outlive the draft.
  Draft(const TensorIndex& tensors, Activation activation);

  // What the state has.
  const TensorIndex& tensors() const { return tensors_; }
  Activation activation() const { return activation_; }
  int channels(Value x) const { return blueprint_.layers[x.layer].channels; }

  // The picture, 3 channels.
  Value Input();
  // mmcv's ConvModule at `name`: convolution, batch norm, activation; or, if the state says so,
  // mmcv's DepthwiseSeparableConvModule: two of them.
  Value ConvModule(const std::string& name, Value x, const ConvStyle& style = {});
  // nn.Conv2d with bias at `name`, no activation.
  Value Conv(const std::string& name, Value x);
  // nn.Conv2d with bias between YOLOv7's ImplicitA and ImplicitM at name.0, .1 and .2.
  Value ImplicitConv(const std::string& name, Value x);
  // mmyolo's RepVGGBlock at `name` (3×3, 1×1 and identity side by side, `alpha` on the 1×1), or its
  // ConvWrapper: a ConvModule named `block`.
  Value RepVgg(const std::string& name, Value x, const ConvStyle& style);
  // nn.ConvTranspose2d 2×2, stride 2, with bias.
  Value UpConv(const std::string& name, Value x);
  // x · act(conv(mean over pixels)), the convolution at `conv` with bias.
  Value ChannelGate(const std::string& conv, Value x, Activation act);
  Value Concat(const std::vector<Value>& parts);
  Value MaxPool(Value x, int kernel, int stride = 1);
  Value Upsample(Value x);
  Value SpaceToDepth(Value x);
  // The two halves of a convolution's channels.
  std::array<Value, 2> Halves(Value conv);

  // Marks a result of the network; its index among them.
  int Output(Value x);
  HeadLayout& head() { return blueprint_.head; }

  void Fail(std::string what);
  // FailedPrecondition with the first failure.
  absl::StatusOr<Blueprint> Finish() &&;

 private:
  Value Add(Layer layer);
  // A branch by the paths of its parts, checked against `in` channels.
  ConvBranch Branch(const std::string& conv, const std::string& bn, int in, int stride);
  // The parameter at `path`, which must have `count` numbers.
  NamedParameter Parameter(const std::string& path, std::int64_t count);

  const TensorIndex& tensors_;
  const Activation activation_;
  Blueprint blueprint_;
  absl::Status status_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_DRAFT_H_
