// The parts of Segment Anything that are tuned, prompt encoder and mask decoder, as one module, and
// how prompts go through them. Differentiable; computes what segmenter::SamNetwork::DecodeMasks
// does.
#ifndef DUET_TRAINER_SEGMENTER_PROMPTED_DECODER_H_
#define DUET_TRAINER_SEGMENTER_PROMPTED_DECODER_H_

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <span>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/prompt.h"
#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/modeling/prompt_encoder.h"

namespace trainer {

// What the encoder made of an image, [1, C, H, W] each: the embedding, then the maps that the
// decoder adds (SAM 2). Views of `embedding`, which must outlive them.
std::vector<at::Tensor> MapsOf(const segmenter::Embedding& embedding);

class PromptedDecoder : public torch::nn::Module {
 public:
  // Takes the modules as they are, as children "prompt_encoder" and "mask_decoder". What makes maps
  // of the image (SAM 2's conv_s0 and conv_s1) belongs to the embedding and gets no gradient.
  // `pads_boxes`, `logit_limit`: segmenter::ModelParts'.
  PromptedDecoder(segmenter::PromptEncoder prompt_encoder, segmenter::MaskDecoder mask_decoder,
                  bool pads_boxes, float logit_limit);

  // All masks, a row a prompt: the single one in column 0, then those of multimask_output.
  // REQUIRES: all prompts have as many points, and a box or none; at least one. `earlier`
  // [N, 1, H, W]: logits that go in as the mask prompt, clamped as a client's are; undefined: none
  // do. The prompts' own mask_logits aren't looked at.
  segmenter::DecodedMasks Decode(const std::vector<at::Tensor>& maps,
                                 std::span<const segmenter::Prompt> prompts,
                                 const at::Tensor& earlier);

  // The masks that upstream would return.
  segmenter::DecodedMasks Select(const segmenter::DecodedMasks& masks, bool multimask) const {
    return mask_decoder_->Select(masks, multimask);
  }

 private:
  at::Tensor Sparse(std::span<const segmenter::Prompt> prompts);

  segmenter::PromptEncoder prompt_encoder_;
  segmenter::MaskDecoder mask_decoder_;
  const bool pads_boxes_;
  const float logit_limit_;
  at::Tensor positions_;  // of the embedding's cells; made of a buffer, so constant
};

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_PROMPTED_DECODER_H_
