// What the segmenter minimises for a mask. A network that knows nothing learns what a prompt is
// from a weighted cross entropy plus dice; one that knows goes on with SAM's own 20 · focal + dice,
// from which a new one would learn to answer with empty masks.
//
// All take mask logits [..., H, W] and a target of a broadcastable shape, the share of each pixel
// that the object covers, 0 to 1; they return [...].
#ifndef DUET_TRAINER_LOSSES_MASK_LOSSES_H_
#define DUET_TRAINER_LOSSES_MASK_LOSSES_H_

#include <ATen/core/Tensor.h>

namespace trainer {

// How much each pixel counts in an object's cross entropy; [..., H, W] like `target`. `others` is
// the coverage by objects that were not asked for.
//
// The object's pixels share a weight of 1/2. At `balance` 1 the other objects share 1/4 and the
// background 1/4, however large each is: whoever answers "all objects" whatever the prompt loses as
// much as by missing half of the object. At 0 every pixel counts as much as one of the object's,
// which puts outlines where they belong. Between them: the blend.
at::Tensor PixelWeights(const at::Tensor& target, const at::Tensor& others, double balance);

// Summed over the pixels.
at::Tensor WeightedCrossEntropy(const at::Tensor& logits, const at::Tensor& target,
                                const at::Tensor& weights);

// The mean over the pixels of -a · (1 - p)² · log p, with p the probability of what the pixel is
// and a = 1/4 for the object's pixels, 3/4 for the others: what is right already hardly counts. A
// pixel that is covered in part is both, in these parts. Lin et al. 2017 (arXiv 1708.02002); alpha
// and gamma as in SAM 2's training (sam2, training/loss_fns.py).
at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& target);

// 1 - (2 · overlap + 1) / (sum of both + 1), on probabilities.
at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target);

// IoU of the masks `logits > 0` and `target >= 1/2`; 1 if both are empty. No gradient.
at::Tensor MaskIou(const at::Tensor& logits, const at::Tensor& target);

}  // namespace trainer

#endif  // DUET_TRAINER_LOSSES_MASK_LOSSES_H_
