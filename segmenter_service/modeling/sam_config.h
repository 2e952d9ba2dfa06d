// Every size of a Segment Anything network. None of them is in a config file: `InferConfig` reads
// them from the names and shapes of a checkpoint, so that official, reduced and re-trained models
// of any width load the same way. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

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

struct PromptEncoderConfig {
  std::int64_t mask_in_chans = 16;
};

struct MaskDecoderConfig {
  std::int64_t depth = 2;  // two-way layers
  std::int64_t num_heads = 8;
  std::int64_t mlp_dim = 2048;
  std::int64_t attention_downsample = 2;  // of the two cross attentions
  std::int64_t num_mask_tokens = 4;       // one for a single answer, the rest for multimask_output
  std::int64_t iou_head_depth = 3;
  std::int64_t iou_head_hidden = 256;
};

struct SamConfig {
  ImageEncoderConfig image_encoder;
  // Channels of the embedding, of prompts and of the decoder's tokens.
  std::int64_t embed_dim = 256;
  PromptEncoderConfig prompt_encoder;
  MaskDecoderConfig mask_decoder;

  // Side of the decoder's output and of mask prompts: 256 for official models.
  std::int64_t low_res_size() const { return 4 * image_encoder.grid(); }
  // "sam-vit-b", "sam-vit-l", "sam-vit-h", or "sam-vit-<embed_dim>x<depth>-<image_size>" for
  // others.
  std::string Name() const;
};

// InvalidArgument, naming the tensor, what was found and what was needed, for another family (SAM
// 2, MobileSAM, HQ-SAM, a detector), for a missing tensor and for shapes that fit no network.
//
// What shapes don't tell is as in the official models: 8 heads in the decoder, LayerNorm's
// epsilons. The encoder's heads follow from the width of its relative-position tables.
absl::StatusOr<SamConfig> InferConfig(const checkpoint::StateDict& state_dict);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM_CONFIG_H_
