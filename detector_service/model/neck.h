// CSPNeXtPAFPN, RTMDet's neck: coarse maps flow down to the fine ones and back up, so that each
// level knows both what it sees and where. Source: mmdet/models/necks/cspnext_pafpn.py.
#ifndef DUET_DETECTOR_SERVICE_MODEL_NECK_H_
#define DUET_DETECTOR_SERVICE_MODEL_NECK_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "detector_service/model/backbone.h"

namespace detector {

class CSPNeXtPAFPNImpl : public torch::nn::Module {
 public:
  explicit CSPNeXtPAFPNImpl(const RtmdetConfig& config);

  // The backbone's maps → maps of the same sizes with neck_channels each.
  Features forward(const Features& c);

  torch::nn::ModuleList reduce_layers;     // 2 × 1×1
  torch::nn::ModuleList top_down_blocks;   // 2 CSP layers: stride 16, stride 8
  torch::nn::ModuleList downsamples;       // 2 × 3×3, stride 2
  torch::nn::ModuleList bottom_up_blocks;  // 2 CSP layers: stride 16, stride 32
  torch::nn::ModuleList out_convs;         // 3 × 3×3
};
TORCH_MODULE(CSPNeXtPAFPN);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_NECK_H_
