// What SAM minimises for a mask (Kirillov et al. 2023, A "Training algorithm"): 20 · focal + 1 ·
// dice, plus the squared error of the predicted IoU. All take mask logits [..., H, W] and a 0/1
// target of a broadcastable shape, average over the pixels and return [...].
#ifndef DUET_TRAINER_LOSSES_MASK_LOSSES_H_
#define DUET_TRAINER_LOSSES_MASK_LOSSES_H_

#include <ATen/core/Tensor.h>

namespace trainer {

// Focal loss (Lin et al. 2017) with gamma 2 and alpha 0.25.
at::Tensor SigmoidFocalLoss(const at::Tensor& logits, const at::Tensor& target);

// Cross entropy in which the object's pixels and all others have half of the weight each, however
// small the object.
at::Tensor BalancedCrossEntropy(const at::Tensor& logits, const at::Tensor& target);

// 1 - (2 · overlap + 1) / (sum of both + 1), on probabilities.
at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target);

// IoU of the masks `logits > 0` and `target`; 1 if both are empty. No gradient.
at::Tensor MaskIou(const at::Tensor& logits, const at::Tensor& target);

}  // namespace trainer

#endif  // DUET_TRAINER_LOSSES_MASK_LOSSES_H_
