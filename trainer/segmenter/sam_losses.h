// Segment Anything's loss of the masks that it answers a prompt with.
#ifndef DUET_TRAINER_SEGMENTER_SAM_LOSSES_H_
#define DUET_TRAINER_SEGMENTER_SAM_LOSSES_H_

#include <ATen/core/Tensor.h>

namespace trainer {

// Each a mean over prompts.
struct SamLosses {
  at::Tensor focal;  // of the best mask
  at::Tensor dice;   // of the same
  at::Tensor iou;    // squared error of the predicted IoUs, a mean over all masks

  // Kirillov et al. 2023 (arXiv 2304.02643), "Losses": focal to dice 20 to 1, IoU 1.
  at::Tensor Total() const { return 20 * focal + dice + iou; }
};

// The best of a prompt's masks is the one with the least 20 · focal + dice; only it learns to be a
// better mask, so that the masks of an ambiguous click come to mean different things. All masks'
// IoUs are learned, as in SAM 2's training (supervise_all_iou), since the answer is chosen by them.
//
// `logits` [N, masks, H, W]; `iou_predictions` [N, masks]; `target` [N, 1, H, W], the share of each
// pixel that the object covers.
SamLosses ComputeSamLosses(const at::Tensor& logits, const at::Tensor& iou_predictions,
                           const at::Tensor& target);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_SAM_LOSSES_H_
