#include "segmenter_service/modeling/mobile_sam.h"

namespace segmenter {

MobileSamImpl::MobileSamImpl(const MobileSamConfig& mobile_sam_config) : config(mobile_sam_config) {
  const TinyViTConfig& encoder = config.image_encoder;
  image_encoder = register_module("image_encoder", TinyViT(encoder, config.embed_dim));
  prompt_encoder = register_module(
      "prompt_encoder",
      PromptEncoder(config.prompt_encoder, config.embed_dim, encoder.image_size, encoder.grid()));
  mask_decoder =
      register_module("mask_decoder", MakeMaskDecoder(config.mask_decoder, config.embed_dim));
}

}  // namespace segmenter
