#include "trainer/losses/mask_losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace trainer {

at::Tensor SigmoidFocalLoss(const at::Tensor& logits, const at::Tensor& target) {
  constexpr double kAlpha = 0.25;
  const at::Tensor p = logits.sigmoid();
  const at::Tensor labels = target.expand_as(logits);
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(logits, labels, {}, {}, at::Reduction::None);
  const at::Tensor miss = (labels - p).square();
  const at::Tensor weight = kAlpha * labels + (1 - kAlpha) * (1 - labels);
  return (entropy * miss * weight).mean({-2, -1});
}

at::Tensor BalancedCrossEntropy(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor others = 1 - target;
  const at::Tensor weight = target / target.sum({-2, -1}, /*keepdim=*/true).clamp_min(1) +
                            others / others.sum({-2, -1}, /*keepdim=*/true).clamp_min(1);
  const at::Tensor entropy = at::binary_cross_entropy_with_logits(logits, target.expand_as(logits),
                                                                  {}, {}, at::Reduction::None);
  return 0.5 * (entropy * weight).sum({-2, -1});
}

at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor p = logits.sigmoid();
  const at::Tensor overlap = (p * target).sum({-2, -1});
  return 1 - (2 * overlap + 1) / (p.sum({-2, -1}) + target.sum({-2, -1}) + 1);
}

at::Tensor MaskIou(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor mask = logits.detach().gt(0).to(target.scalar_type());
  const at::Tensor overlap = (mask * target).sum({-2, -1});
  const at::Tensor joined = mask.sum({-2, -1}) + target.sum({-2, -1}) - overlap;
  return at::where(joined > 0, overlap / joined.clamp_min(1), at::ones_like(joined));
}

}  // namespace trainer
