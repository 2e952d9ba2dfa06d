#include "segmenter_service/modeling/sam.h"

namespace segmenter {

SamImpl::SamImpl(const SamConfig& sam_config) : config(sam_config) {
  const ImageEncoderConfig& encoder = config.image_encoder;
  image_encoder = register_module("image_encoder", ImageEncoderViT(encoder, config.embed_dim));
  prompt_encoder = register_module(
      "prompt_encoder",
      PromptEncoder(config.prompt_encoder, config.embed_dim, encoder.image_size, encoder.grid()));
  mask_decoder =
      register_module("mask_decoder", MakeMaskDecoder(config.mask_decoder, config.embed_dim));
}

}  // namespace segmenter
