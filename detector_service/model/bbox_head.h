// RTMDetSepBNHead: at every cell of every level, one logit per class and the distances to a box's
// four sides. The convolutions are the same tensors on all levels, the batch norms are not. Source:
// mmdet/models/dense_heads/rtmdet_head.py.
#ifndef DUET_DETECTOR_SERVICE_MODEL_BBOX_HEAD_H_
#define DUET_DETECTOR_SERVICE_MODEL_BBOX_HEAD_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "detector_service/model/backbone.h"

namespace detector {

// Per level, with H and W of that level.
struct HeadOutput {
  Features cls_logits;  // [B, num_classes, H, W], before the sigmoid
  // [B, 4, H, W]: left, top, right, bottom in input pixels from the point (x * stride, y * stride),
  // the cell's top-left corner; may be negative without exp_on_reg.
  Features distances;
};

class RTMDetSepBNHeadImpl : public torch::nn::Module {
 public:
  // Starts as mmdet's init_weights does: convolutions normal(0, 0.01), the class bias at a
  // probability of 0.01.
  explicit RTMDetSepBNHeadImpl(const RtmdetConfig& config);

  HeadOutput forward(const Features& features);

  const bool exp_on_reg;
  torch::nn::ModuleList cls_convs;  // per level a list of stacked_convs ConvModules
  torch::nn::ModuleList reg_convs;
  torch::nn::ModuleList rtm_cls;  // per level a 1×1 with bias
  torch::nn::ModuleList rtm_reg;
};
TORCH_MODULE(RTMDetSepBNHead);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_BBOX_HEAD_H_
