// Sizes of MobileSAM: SAM with a TinyViT in the place of its image encoder. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_CONFIG_H_
#define DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_CONFIG_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/modeling/prompted_config.h"
#include "segmenter_service/modeling/sidecar.h"

namespace segmenter {

struct TinyViTConfig {
  struct Layer {
    std::int64_t dim = 0;
    std::int64_t depth = 0;
    std::int64_t hidden = 0;  // channels between the two 1x1 convolutions, or of the MLP
    // Not in the first layer, which has no attention.
    std::int64_t num_heads = 0;
    std::int64_t window = 0;  // side
    // Of the downsampling at its end; the last layer has none.
    std::int64_t stride = 2;
  };
  std::int64_t image_size = 1024;  // side of the square, padded input, pixels
  std::vector<Layer> layers;

  // Side of the embedding.
  std::int64_t grid() const;
};

struct MobileSamConfig : PromptedConfig {
  TinyViTConfig image_encoder;

  // "mobile-sam" or "sam-hq-vit-tiny", with "-<last width>x<layers' depths>" if it isn't official.
  std::string Name() const;
};

// As InferConfig of sam_config.h. The file tells neither the input's size nor the strides; they are
// as in the official network (1024; the third downsampling has stride 1), unless `sidecar` has
// "img_size" or "downsample_strides".
absl::StatusOr<MobileSamConfig> InferMobileSamConfig(const checkpoint::StateDict& state_dict,
                                                     Sidecar& sidecar);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_CONFIG_H_
