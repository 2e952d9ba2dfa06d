// Segment Anything as one module: its state_dict has exactly the keys of the official .pth files.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "segmenter_service/modeling/image_encoder.h"
#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/modeling/prompt_encoder.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Freshly made, weights are random as Torch initialises them; load a checkpoint or train.
class SamImpl : public torch::nn::Module {
 public:
  explicit SamImpl(const SamConfig& config);

  const SamConfig config;
  ImageEncoderViT image_encoder{nullptr};
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};
};
TORCH_MODULE(Sam);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM_H_
