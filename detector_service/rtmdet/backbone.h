// CSPNeXt, RTMDet's backbone: an image to feature maps at strides 8, 16 and 32.
// Source: mmdet/models/backbones/cspnext.py (arch P5).
#ifndef DUET_DETECTOR_SERVICE_RTMDET_BACKBONE_H_
#define DUET_DETECTOR_SERVICE_RTMDET_BACKBONE_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <array>

#include "detector_service/rtmdet/rtmdet_config.h"
#include "nn/layers.h"

namespace detector {

// Feature maps at kStrides.
using Features = std::array<at::Tensor, kLevels>;

class CSPNeXtImpl : public torch::nn::Module {
 public:
  explicit CSPNeXtImpl(const RtmdetConfig& config);

  // [B, 3, H, W], H and W multiples of 32 → outputs of stages 2, 3 and 4: [B, stage_channels, H /
  // stride, W / stride].
  Features forward(const at::Tensor& image);

  torch::nn::Sequential stem;
  // A stride-2 convolution, (stage 4: a spatial pyramid,) a CSP layer.
  std::array<torch::nn::Sequential, 4> stages;
};
TORCH_MODULE(CSPNeXt);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_BACKBONE_H_
