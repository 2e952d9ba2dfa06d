// How RTMDet-Ins draws masks when it is trained, and what they are judged by
// (mmdet/models/dense_heads/rtmdet_ins_head.py, _mask_predict_by_feat_single;
// mmdet/models/losses/dice_loss.py). Differentiable.
#ifndef DUET_TRAINER_LOSSES_DYNAMIC_MASKS_H_
#define DUET_TRAINER_LOSSES_DYNAMIC_MASKS_H_

#include <ATen/core/Tensor.h>

namespace trainer {

// Each kernel is the weights and biases of a network of three 1×1 convolutions (10 → 8 → 8 → 1,
// ReLU between them) over an image's mask features and the position of each of their cells relative
// to the kernel's prior. `features`: [8, H, W] at stride 8; `kernels`: [N, 169], all weights before
// all biases; `priors`: [N, 3], x, y and stride in input pixels. Returns logits [N, H, W].
at::Tensor DrawMasks(const at::Tensor& features, const at::Tensor& kernels,
                     const at::Tensor& priors);

// 1 - 2 Σ p·t / (Σ p² + Σ t² + 1e-5), p = sigmoid(logits), sums over pixels: mmdet's DiceLoss with
// eps 5e-6 on either sum. [N, H, W] twice → [N].
at::Tensor SquaredDiceLoss(const at::Tensor& logits, const at::Tensor& target);

}  // namespace trainer

#endif  // DUET_TRAINER_LOSSES_DYNAMIC_MASKS_H_
