// RTMDetSepBNHead: at every cell of every level, one logit per class and the distances to a box's
// four sides; in RTMDet-Ins also the weights of a small network that draws the mask, in RTMDet-R
// the box's angle. The convolutions are the same tensors on all levels, the batch norms are not.
// Sources: mmdet/models/dense_heads/rtmdet_{,ins_}head.py,
// mmrotate/models/dense_heads/rotated_rtmdet_head.py.
#ifndef DUET_DETECTOR_SERVICE_RTMDET_BBOX_HEAD_H_
#define DUET_DETECTOR_SERVICE_RTMDET_BBOX_HEAD_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "detector_service/rtmdet/backbone.h"

namespace detector {

// How a head begins, as in mmdet's init_weights: the deviation of its convolutions' weights, and
// how probable each class is at each cell.
inline constexpr double kInitialStd = 0.01;
inline constexpr double kInitialProbability = 0.01;

// Per level, with H and W of that level.
struct HeadOutput {
  Features cls_logits;  // [B, num_classes, H, W], before the sigmoid
  // [B, 4, H, W]: left, top, right, bottom in input pixels from the point (x * stride, y * stride),
  // the cell's top-left corner; may be negative without exp_on_reg.
  Features distances;
  // kRotated: [B, 1, H, W], radians, clockwise on screen; the distances are along the turned axes.
  Features angles;
  // kInstances: [B, kMaskKernelSize, H, W], and once for all levels, at the finest one's cells,
  // [B, kMaskFeatures, H, W].
  Features kernels;
  at::Tensor mask_features;
};

// The features that RTMDet-Ins draws masks from: all levels at the finest one's cells, fused.
class MaskFeatModuleImpl : public torch::nn::Module {
 public:
  explicit MaskFeatModuleImpl(const RtmdetConfig& config);
  at::Tensor forward(const Features& features);

  nn::Conv2d fusion_conv;  // 1×1 over all levels' channels
  torch::nn::ModuleList stacked_convs;
  nn::Conv2d projection;  // 1×1 to kMaskFeatures
};
TORCH_MODULE(MaskFeatModule);

class RTMDetSepBNHeadImpl : public torch::nn::Module {
 public:
  // Starts as mmdet's init_weights does: convolutions normal(0, 0.01), the class bias at a
  // probability of 0.01.
  explicit RTMDetSepBNHeadImpl(const RtmdetConfig& config);

  HeadOutput forward(const Features& features);

  const HeadKind kind;
  const bool exp_on_reg;
  torch::nn::ModuleList cls_convs;  // per level a list of stacked_convs ConvModules
  // kInstances: the same modules as cls_convs (a slip upstream that its weights were trained with).
  torch::nn::ModuleList reg_convs;
  torch::nn::ModuleList rtm_cls;  // per level a 1×1 with bias
  torch::nn::ModuleList rtm_reg;
  // Empty in other kinds:
  torch::nn::ModuleList rtm_ang;       // kRotated: 1×1 after reg_convs
  torch::nn::ModuleList kernel_convs;  // kInstances: as cls_convs, nothing shared between levels
  torch::nn::ModuleList rtm_kernel;
  MaskFeatModule mask_head{nullptr};
};
TORCH_MODULE(RTMDetSepBNHead);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_BBOX_HEAD_H_
