// MobileSAM, or HQ-SAM on the same encoder, as one module: its state_dict has the keys of the
// official files, but for the classifier that TinyViT was trained with.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/modeling/prompt_encoder.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "segmenter_service/modeling/tiny_vit_sam.h"

namespace segmenter {

class MobileSamImpl : public torch::nn::Module {
 public:
  explicit MobileSamImpl(const MobileSamConfig& config);

  static std::vector<std::string> UnusedPrefixes() {
    return {"image_encoder.norm_head.", "image_encoder.head."};
  }

  const MobileSamConfig config;
  TinyViT image_encoder{nullptr};
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};
};
TORCH_MODULE(MobileSam);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_
