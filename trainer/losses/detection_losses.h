// What RTMDet minimises: mmdet's QualityFocalLoss and GIoULoss
// (mmdet/models/losses/{gfocal_loss,iou_loss}.py). Both return one loss a row, to be weighted and
// summed by the caller, and are differentiable.
#ifndef DUET_TRAINER_LOSSES_DETECTION_LOSSES_H_
#define DUET_TRAINER_LOSSES_DETECTION_LOSSES_H_

#include <ATen/core/Tensor.h>

namespace trainer {

// Binary cross entropy of each class against a soft label, scaled by |label - sigmoid(logit)|²;
// summed over classes. `logits` is [N, C]; `soft_labels` is [N, C]: the IoU at the assigned class,
// else 0. Returns [N].
at::Tensor QualityFocalLoss(const at::Tensor& logits, const at::Tensor& soft_labels);

// 1 - GIoU of boxes [N, 4] (x_min, y_min, x_max, y_max). Returns [N], each in [0, 2].
at::Tensor GiouLoss(const at::Tensor& predicted, const at::Tensor& target);

}  // namespace trainer

#endif  // DUET_TRAINER_LOSSES_DETECTION_LOSSES_H_
