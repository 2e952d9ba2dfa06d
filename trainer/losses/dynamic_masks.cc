#include "trainer/losses/dynamic_masks.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cstdint>
#include <vector>

namespace trainer {
namespace {

constexpr std::int64_t kFeatures = 8;
constexpr std::int64_t kHidden = 8;
constexpr double kFeatureStride = 8;
// Positions are given in units of eight cells of the prior's level.
constexpr double kPositionScale = 8;

// Σ over channels of the feature and the position part of the first convolution.
at::Tensor FirstLayer(const at::Tensor& weights, const at::Tensor& features,
                      const at::Tensor& positions) {
  const std::int64_t count = weights.size(0);
  const at::Tensor of_position = weights.slice(2, 0, 2);
  const at::Tensor of_features = weights.slice(2, 2, 2 + kFeatures);
  return of_position.bmm(positions) +
         of_features.reshape({count * kHidden, kFeatures}).mm(features).view({count, kHidden, -1});
}

}  // namespace

at::Tensor DrawMasks(const at::Tensor& features, const at::Tensor& kernels,
                     const at::Tensor& priors) {
  const std::int64_t count = kernels.size(0);
  const std::int64_t height = features.size(1);
  const std::int64_t width = features.size(2);
  // From each cell to the prior: [N, 2, H · W].
  const at::Tensor x = at::arange(width, features.options()).mul(kFeatureStride).repeat({height});
  const at::Tensor y =
      at::arange(height, features.options()).mul(kFeatureStride).repeat_interleave(width);
  const at::Tensor positions =
      (priors.slice(1, 0, 2).unsqueeze(2) - at::stack({x, y}).unsqueeze(0)) /
      (priors.slice(1, 2, 3).unsqueeze(2) * kPositionScale);

  const std::vector<at::Tensor> parts = kernels.split_with_sizes(
      {(kFeatures + 2) * kHidden, kHidden * kHidden, kHidden, kHidden, kHidden, 1}, 1);
  const auto bias = [&](int layer) { return parts[3 + layer].unsqueeze(2); };
  at::Tensor hidden = FirstLayer(parts[0].reshape({count, kHidden, kFeatures + 2}),
                                 features.reshape({kFeatures, -1}), positions);
  hidden = (hidden + bias(0)).relu();
  hidden = at::baddbmm(bias(1), parts[1].reshape({count, kHidden, kHidden}), hidden).relu();
  return at::baddbmm(bias(2), parts[2].reshape({count, 1, kHidden}), hidden)
      .view({count, height, width});
}

at::Tensor SquaredDiceLoss(const at::Tensor& logits, const at::Tensor& target) {
  constexpr double kEps = 5e-6;
  const at::Tensor p = logits.sigmoid().flatten(1);
  const at::Tensor t = target.flatten(1);
  const at::Tensor squares = ((p * p).sum(1) + kEps) + ((t * t).sum(1) + kEps);
  return 1 - 2 * (p * t).sum(1) / squares;
}

}  // namespace trainer
