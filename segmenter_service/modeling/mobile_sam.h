// MobileSAM, or HQ-SAM on the same encoder, as one module: its state_dict has the keys of the
// official files, except for the classifier that TinyViT was trained with.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_

#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "segmenter_service/modeling/tiny_vit_sam.h"

namespace segmenter {

class MobileSamImpl : public SamWithEncoder<TinyViT, MobileSamConfig> {
 public:
  using SamWithEncoder::SamWithEncoder;

  // The classifier's keys.
  static std::vector<std::string> UnusedPrefixes() {
    return {"image_encoder.norm_head.", "image_encoder.head."};
  }
};
TORCH_MODULE(MobileSam);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MOBILE_SAM_H_
