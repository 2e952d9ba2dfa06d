#include "detector_service/inference/instance_mask.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "detector_service/rtmdet/rtmdet_config.h"

namespace detector {
namespace {

constexpr int kInputs = kMaskFeatures + 2;

// outputs = weights · inputs + bias; `weights` [Out][In].
template <std::size_t Out, std::size_t In>
std::array<float, Out> Apply(const float* weights, const float* bias,
                             const std::array<float, In>& inputs) {
  std::array<float, Out> outputs;
  for (std::size_t o = 0; o < Out; ++o) {
    float sum = bias[o];
    for (std::size_t i = 0; i < In; ++i) sum += weights[o * In + i] * inputs[i];
    outputs[o] = sum;
  }
  return outputs;
}

template <std::size_t N>
std::array<float, N> Relu(std::array<float, N> values) {
  for (float& value : values) value = std::max(value, 0.0F);
  return values;
}

// The whole padded input is scaled to the image's scale, then the padding is cropped. Upstream
// scales the height by the width's ratio and the width by the height's, which differ by rounding.
// An image may then be a pixel wider than its masks.
vision::MaskRenderer Renderer(vision::Size grid, const Placement& placement) {
  const auto axis = [](int cells, double scale, int image) {
    const int input = cells * kStrides[0];
    return vision::MaskAxis{.low_res = cells,
                            .input = input,
                            .kept = input,
                            .scaled = static_cast<int>(std::ceil(input * (1 / scale))),
                            .image = image};
  };
  return {axis(grid.width, placement.scale_y, placement.image.width),
          axis(grid.height, placement.scale_x, placement.image.height)};
}

}  // namespace

InstanceMasks::InstanceMasks(const float* features, vision::Size grid, const Placement& placement,
                             double threshold)
    : features_(features),
      grid_(grid),
      logit_threshold_(static_cast<float>(std::log(threshold / (1 - threshold)))),
      renderer_(Renderer(grid, placement)) {}

std::vector<float> InstanceMasks::Logits(const float* kernel, int level, int x, int y) const {
  const float* const first = kernel;
  const float* const second = first + kMaskHidden * kInputs;
  const float* const third = second + kMaskHidden * kMaskHidden;
  const float* const biases = third + kMaskHidden;
  // The position of the cell relative to each point, in units of eight sides of the cell.
  const int stride = kStrides[level];
  const auto unit = static_cast<float>(stride * 8);
  std::vector<float> logits(static_cast<std::size_t>(grid_.width) * grid_.height);
  std::array<float, kInputs> inputs;
  const float* feature = features_;
  for (std::size_t i = 0; i < logits.size(); ++i, feature += kMaskFeatures) {
    const int at_x = static_cast<int>(i) % grid_.width, at_y = static_cast<int>(i) / grid_.width;
    inputs[0] = static_cast<float>(x * stride - at_x * kStrides[0]) / unit;
    inputs[1] = static_cast<float>(y * stride - at_y * kStrides[0]) / unit;
    std::copy_n(feature, kMaskFeatures, inputs.begin() + 2);
    const auto hidden = Relu(Apply<kMaskHidden>(first, biases, inputs));
    const auto deeper = Relu(Apply<kMaskHidden>(second, biases + kMaskHidden, hidden));
    logits[i] = Apply<1>(third, biases + 2 * kMaskHidden, deeper)[0];
  }
  return logits;
}

vision::Mask InstanceMasks::Draw(const float* kernel, int level, int x, int y) const {
  return renderer_.Render(Logits(kernel, level, x, y), logit_threshold_).mask;
}

}  // namespace detector
