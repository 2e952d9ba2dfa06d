// The whole network: pictures in, raw predictions out. This plain form is the source of truth: it
// trains, it is what checkpoints load into and are saved from.
#ifndef DUET_DETECTOR_SERVICE_MODEL_DETECTOR_H_
#define DUET_DETECTOR_SERVICE_MODEL_DETECTOR_H_

#include <absl/status/statusor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "checkpoint/checkpoint.h"
#include "detector_service/model/backbone.h"
#include "detector_service/model/bbox_head.h"
#include "detector_service/model/neck.h"
#include "detector_service/model/rtmdet_config.h"
#include "nn/state_dict.h"

namespace detector {

// Its state's names are those of mmdet's or mmyolo's RTMDet.
class RtmdetImpl : public torch::nn::Module {
 public:
  explicit RtmdetImpl(const RtmdetConfig& config);

  // Normalised BGR pictures [B, 3, H, W], H and W multiples of 32.
  HeadOutput forward(const at::Tensor& images);

  const RtmdetConfig config;
  CSPNeXt backbone;
  CSPNeXtPAFPN neck;
  RTMDetSepBNHead bbox_head;
};
TORCH_MODULE(Rtmdet);

// Builds what `state_dict` holds and loads it, in eval mode. FailedPrecondition if it isn't
// RTMDet's or does not fit.
absl::StatusOr<Rtmdet> LoadRtmdet(const checkpoint::StateDict& state_dict,
                                  const PythonConfig& training,
                                  nn::Memory memory = nn::Memory::kCopy);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_DETECTOR_H_
