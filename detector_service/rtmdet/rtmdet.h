// RTMDet as plain modules: images in, raw predictions out. This is the reference form of the
// network: it is trained, checkpoints are loaded into it and saved from it.
#ifndef DUET_DETECTOR_SERVICE_RTMDET_RTMDET_H_
#define DUET_DETECTOR_SERVICE_RTMDET_RTMDET_H_

#include <absl/status/statusor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/blueprint/head_layout.h"
#include "detector_service/rtmdet/backbone.h"
#include "detector_service/rtmdet/bbox_head.h"
#include "detector_service/rtmdet/neck.h"
#include "detector_service/rtmdet/rtmdet_config.h"
#include "nn/state_dict.h"

namespace detector {

// Its state's names are those of mmdet's or mmyolo's RTMDet.
class RtmdetImpl : public torch::nn::Module {
 public:
  explicit RtmdetImpl(const RtmdetConfig& config);

  // Normalised BGR images [B, 3, H, W], H and W multiples of 32.
  HeadOutput forward(const at::Tensor& images);

  const RtmdetConfig config;
  CSPNeXt backbone;
  CSPNeXtPAFPN neck;
  RTMDetSepBNHead bbox_head;
};
TORCH_MODULE(Rtmdet);

// `output` as a list of maps, level by level, and what they mean. What the head does not predict is
// left out.
std::vector<at::Tensor> ListOutputs(const HeadOutput& output);
HeadLayout LayoutOf(const RtmdetConfig& config);

// Builds what `state_dict` holds and loads it, in eval mode. FailedPrecondition if it isn't
// RTMDet's or does not fit.
absl::StatusOr<Rtmdet> LoadRtmdet(const checkpoint::StateDict& state_dict,
                                  const PythonConfig& training,
                                  nn::Memory memory = nn::Memory::kCopy);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_RTMDET_H_
