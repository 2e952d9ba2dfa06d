// CSPNeXtPAFPN, RTMDet's neck: coarse maps flow down to the fine ones and back up, so that each
// level knows both what it sees and where. Source: mmdet/models/necks/cspnext_pafpn.py.
#ifndef DUET_DETECTOR_SERVICE_RTMDET_NECK_H_
#define DUET_DETECTOR_SERVICE_RTMDET_NECK_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "detector_service/rtmdet/backbone.h"
#include "detector_service/rtmdet/csp_layer.h"

namespace detector {

class CSPNeXtPAFPNImpl : public torch::nn::Module {
 public:
  explicit CSPNeXtPAFPNImpl(const RtmdetConfig& config);

  // The backbone's maps → maps of the same sizes with neck_channels each.
  Features forward(const Features& c);

  // In the state as NamesOf(config.naming) says.
  std::vector<ConvModule> reduce_layers;   // 2 × 1×1
  std::vector<CSPLayer> top_down_blocks;   // stride 16, stride 8
  std::vector<ConvUnit> downsamples;       // 2 × 3×3, stride 2
  std::vector<CSPLayer> bottom_up_blocks;  // stride 16, stride 32
  std::vector<ConvUnit> out_convs;         // 3 × 3×3
};
TORCH_MODULE(CSPNeXtPAFPN);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_NECK_H_
