#include "trainer/losses/mask_losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace trainer {

at::Tensor PixelWeights(const at::Tensor& target, const at::Tensor& others, double balance) {
  const auto area = [](const at::Tensor& coverage) {
    return coverage.sum({-2, -1}, /*keepdim=*/true).clamp_min(1);
  };
  const at::Tensor background = 1 - target - others;
  const at::Tensor own = 0.5 / area(target);
  const at::Tensor balanced = 0.25 / area(others) * others + 0.25 / area(background) * background;
  return own * target + balance * balanced + (1 - balance) * own * (1 - target);
}

at::Tensor WeightedCrossEntropy(const at::Tensor& logits, const at::Tensor& target,
                                const at::Tensor& weights) {
  const at::Tensor entropy = at::binary_cross_entropy_with_logits(logits, target.expand_as(logits),
                                                                  {}, {}, at::Reduction::None);
  return (entropy * weights).sum({-2, -1});
}

at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& target) {
  constexpr double kAlpha = 0.25;
  const at::Tensor p = logits.sigmoid();
  const at::Tensor entropy = at::binary_cross_entropy_with_logits(logits, target.expand_as(logits),
                                                                  {}, {}, at::Reduction::None);
  const at::Tensor wrong = p + target - 2 * p * target;  // 1 - the probability of what it is
  const at::Tensor alpha = kAlpha * target + (1 - kAlpha) * (1 - target);
  return (alpha * wrong.square() * entropy).mean({-2, -1});
}

at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor p = logits.sigmoid();
  const at::Tensor overlap = (p * target).sum({-2, -1});
  return 1 - (2 * overlap + 1) / (p.sum({-2, -1}) + target.sum({-2, -1}) + 1);
}

at::Tensor MaskIou(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor mask = logits.detach().gt(0).to(target.scalar_type());
  const at::Tensor object = target.ge(0.5).to(target.scalar_type());
  const at::Tensor overlap = (mask * object).sum({-2, -1});
  const at::Tensor joined = mask.sum({-2, -1}) + object.sum({-2, -1}) - overlap;
  return at::where(joined > 0, overlap / joined.clamp_min(1), at::ones_like(joined));
}

}  // namespace trainer
