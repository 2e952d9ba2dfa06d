#include "trainer/losses/detection_losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace trainer {
namespace {

at::Tensor Area(const at::Tensor& low, const at::Tensor& high) {
  return (high - low).clamp_min(0).prod(-1);
}

}  // namespace

at::Tensor QualityFocalLoss(const at::Tensor& logits, const at::Tensor& soft_labels) {
  const at::Tensor scale = (soft_labels - logits.sigmoid()).square();
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(logits, soft_labels, {}, {}, at::Reduction::None);
  return (entropy * scale).sum(-1);
}

at::Tensor GiouLoss(const at::Tensor& predicted, const at::Tensor& target) {
  constexpr double kEps = 1e-6;  // bbox_overlaps(eps=1e-6)
  const auto low = [](const at::Tensor& boxes) { return boxes.slice(-1, 0, 2); };
  const auto high = [](const at::Tensor& boxes) { return boxes.slice(-1, 2, 4); };
  const at::Tensor intersection =
      Area(at::max(low(predicted), low(target)), at::min(high(predicted), high(target)));
  // Areas without a clamp, as mmdet: a box with negative sides is punished, not hidden.
  const at::Tensor union_area = ((high(predicted) - low(predicted)).prod(-1) +
                                 (high(target) - low(target)).prod(-1) - intersection)
                                    .clamp_min(kEps);
  const at::Tensor hull =
      Area(at::min(low(predicted), low(target)), at::max(high(predicted), high(target)))
          .clamp_min(kEps);
  return 1 - intersection / union_area + (hull - union_area) / hull;
}

}  // namespace trainer
