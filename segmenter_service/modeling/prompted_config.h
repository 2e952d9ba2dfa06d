// Sizes of the parts that all families have: the prompt encoder and the mask decoder. Knows no
// Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_PROMPTED_CONFIG_H_
#define DUET_SEGMENTER_SERVICE_MODELING_PROMPTED_CONFIG_H_

#include <cstdint>
#include <string>

#include "segmenter_service/modeling/shape_reader.h"

namespace segmenter {

struct PromptEncoderConfig {
  std::int64_t mask_in_chans = 16;
};

struct MaskDecoderConfig {
  // SAM (and MobileSAM), HQ-SAM, SAM 2: which of the three decoders.
  enum class Kind { kSam, kHq, kSam2 };
  Kind kind = Kind::kSam;
  std::int64_t depth = 2;  // two-way layers
  std::int64_t num_heads = 8;
  std::int64_t mlp_dim = 2048;
  std::int64_t attention_downsample = 2;  // of the two cross attentions
  std::int64_t num_mask_tokens = 4;       // one for a single answer, the rest for multimask_output
  std::int64_t iou_head_depth = 3;
  std::int64_t iou_head_hidden = 256;

  // kHq: channels of the encoder's early feature map, and whether answers are the high-quality mask
  // alone instead of its sum with SAM's.
  std::int64_t vit_dim = 0;
  bool hq_token_only = false;

  // kSam2: without multimask_output, an answer whose stability is below the threshold is replaced
  // by the best of the others (sam2.build_sam turns this on).
  bool dynamic_multimask_via_stability = true;
  float dynamic_multimask_stability_delta = 0.05f;
  float dynamic_multimask_stability_thresh = 0.98f;
};

struct PromptedConfig {
  // Channels of the embedding, of prompts and of the decoder's tokens.
  std::int64_t embed_dim = 256;
  PromptEncoderConfig prompt_encoder;
  MaskDecoderConfig mask_decoder;
};

// Reads `config` and the decoder's kind; `prompt_encoder` and `mask_decoder` are the prefixes of
// their keys, with the final dot. Errors go to `reader`.
//
// What shapes don't tell is assumed to be as in the official models: 8 heads in the decoder,
// LayerNorm's epsilons.
void ReadPrompted(const std::string& prompt_encoder, const std::string& mask_decoder,
                  ShapeReader& reader, PromptedConfig* config);

// Weights of the large matrices: a lower bound of the two parts' parameters.
std::int64_t CountPromptedWeights(const PromptedConfig& config);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_PROMPTED_CONFIG_H_
