// BlueprintBuilder adds layer after layer to a Blueprint while it reads a checkpoint's tensors: a
// convolution is as wide as its weight, a layer exists if its tensors do.
//
// If something does not fit (a tensor is missing, a weight's input has other channels), Finish
// fails with the first such defect. What is built after it has no meaning and is not used.
#ifndef DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_BUILDER_H_
#define DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_BUILDER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor_index.h"
#include "detector_service/blueprint/blueprint.h"

namespace detector {

// The result of a layer of the blueprint that is being built.
struct FeatureMap {
  int layer = 0;
};

struct ConvStyle {
  int stride = 1;
  std::optional<Activation> activation;  // absent: the part's
  std::optional<FeatureMap> residual;    // added in the end
  std::string residual_scale;            // path of a number that the residual is multiplied by
};

// What most convolutions have, by the part of the network.
struct PartActivations {
  Activation backbone;
  Activation neck;
  Activation head;
};

class BlueprintBuilder {
 public:
  // `tensors` must outlive the builder.
  BlueprintBuilder(const checkpoint::TensorIndex& tensors, const PartActivations& activations);

  // The tensors of the checkpoint.
  const checkpoint::TensorIndex& tensors() const { return tensors_; }
  // Of the module at `name`, if it is like most.
  Activation activation(std::string_view name) const;
  int channels(FeatureMap x) const { return blueprint_.layers[x.layer].channels; }

  // The image, 3 channels.
  FeatureMap Input();
  // mmcv's ConvModule at `name`: convolution, batch norm, activation; or, if the state says so,
  // mmcv's DepthwiseSeparableConvModule: two of them.
  FeatureMap ConvModule(const std::string& name, FeatureMap x, const ConvStyle& style = {});
  // nn.Conv2d with bias at `name`, no activation.
  FeatureMap Conv(const std::string& name, FeatureMap x);
  // nn.Conv2d with bias between YOLOv7's ImplicitA and ImplicitM at name.0, .1 and .2.
  FeatureMap ImplicitConv(const std::string& name, FeatureMap x);
  // mmyolo's RepVGGBlock at `name` (3×3, 1×1 and identity side by side, `alpha` on the 1×1), or its
  // ConvWrapper: a ConvModule named `block`.
  FeatureMap RepVgg(const std::string& name, FeatureMap x, const ConvStyle& style);
  // nn.ConvTranspose2d 2×2, stride 2, with bias.
  FeatureMap UpConv(const std::string& name, FeatureMap x);
  // x · act(conv(mean over pixels)), the convolution at `conv` with bias.
  FeatureMap ChannelGate(const std::string& conv, FeatureMap x, Activation act);
  FeatureMap Concat(const std::vector<FeatureMap>& parts);
  FeatureMap MaxPool(FeatureMap x, int kernel, int stride = 1);
  FeatureMap Upsample(FeatureMap x);
  FeatureMap SpaceToDepth(FeatureMap x);
  // The two halves of a convolution's channels.
  std::array<FeatureMap, 2> Halves(FeatureMap conv);

  // Makes `x` an output of the network. Returns its index among the outputs.
  int Output(FeatureMap x);
  HeadLayout& head() { return blueprint_.head; }

  void Fail(std::string what);
  // FailedPrecondition with the first failure.
  absl::StatusOr<Blueprint> Finish() &&;

 private:
  FeatureMap Add(Layer layer);
  // A branch by the paths of its parts, checked against `in` channels.
  ConvBranch Branch(const std::string& conv, const std::string& bn, int in, int stride);
  // The parameter at `path`, which must have `count` numbers.
  NamedParameter Parameter(const std::string& path, std::int64_t count);

  const checkpoint::TensorIndex& tensors_;
  const PartActivations activations_;
  Blueprint blueprint_;
  absl::Status status_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_BUILDER_H_
