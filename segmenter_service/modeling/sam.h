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

// SAM or HQ-SAM around the image encoder `Encoder`. `Config` is a PromptedConfig with the encoder's
// config as `image_encoder`. The weights are random, as Torch initialises them, until a checkpoint
// is loaded.
template <typename Encoder, typename Config>
class SamWithEncoder : public torch::nn::Module {
 public:
  explicit SamWithEncoder(const Config& sam_config) : config(sam_config) {
    const auto& encoder = config.image_encoder;
    image_encoder = register_module("image_encoder", Encoder(encoder, config.embed_dim));
    prompt_encoder = register_module(
        "prompt_encoder",
        PromptEncoder(config.prompt_encoder, config.embed_dim, encoder.image_size, encoder.grid()));
    mask_decoder =
        register_module("mask_decoder", MakeMaskDecoder(config.mask_decoder, config.embed_dim));
  }

  const Config config;
  Encoder image_encoder{nullptr};
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};
};

class SamImpl : public SamWithEncoder<ImageEncoderViT, SamConfig> {
 public:
  using SamWithEncoder::SamWithEncoder;
};
TORCH_MODULE(Sam);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM_H_
