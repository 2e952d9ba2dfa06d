// All sizes of SAM and HQ-SAM with a plain vision transformer. InferConfig reads them from the
// names and shapes of a checkpoint instead of a config file, so that official, reduced and
// re-trained models of any width load the same way. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/modeling/prompted_config.h"

namespace segmenter {

// The plain vision transformer of SAM-B/L/H. Defaults: ViT-B.
struct ImageEncoderConfig {
  std::int64_t image_size = 1024;  // side of the square, padded input, pixels
  std::int64_t patch_size = 16;    // pixels
  std::int64_t embed_dim = 768;
  std::int64_t num_heads = 12;
  std::int64_t mlp_dim = 3072;
  // One entry a block: side of its attention windows, patches; 0 attends over the whole image.
  std::vector<std::int64_t> window_sizes = {14, 14, 0, 14, 14, 0, 14, 14, 0, 14, 14, 0};

  // Side of the embedding, patches.
  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t depth() const { return static_cast<std::int64_t>(window_sizes.size()); }
};

struct SamConfig : PromptedConfig {
  ImageEncoderConfig image_encoder;

  // Side of the decoder's output and of mask prompts: 256 for official models.
  std::int64_t low_res_size() const { return 4 * image_encoder.grid(); }
  // "sam-vit-b", "sam-vit-l", "sam-vit-h", or "sam-vit-<embed_dim>x<depth>-<image_size>" for
  // others; "sam-hq-…" with HQ-SAM's decoder.
  std::string Name() const;
};

// InvalidArgument, naming the tensor, what was found and what was needed, for a missing tensor and
// for shapes that fit no network.
//
// The encoder's heads follow from the width of its relative-position tables.
absl::StatusOr<SamConfig> InferConfig(const checkpoint::StateDict& state_dict);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_
