#include "trainer/segmenter/sam_losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "trainer/losses/mask_losses.h"

namespace trainer {

SamLosses ComputeSamLosses(const at::Tensor& logits, const at::Tensor& iou_predictions,
                           const at::Tensor& target) {
  const at::Tensor focal = FocalLoss(logits, target);  // [N, masks]
  const at::Tensor dice = DiceLoss(logits, target);
  const at::Tensor best = (20 * focal + dice).argmin(1, /*keepdim=*/true);
  const at::Tensor error = iou_predictions - MaskIou(logits, target);
  return {.focal = focal.gather(1, best).mean(),
          .dice = dice.gather(1, best).mean(),
          .iou = error.square().mean()};
}

}  // namespace trainer
