#include "segmenter_service/modeling/prompted_config.h"

#include <absl/strings/str_cat.h>

namespace segmenter {
namespace {

MaskDecoderConfig ReadMaskDecoder(const std::string& prefix, std::int64_t dim,
                                  ShapeReader& reader) {
  using Kind = MaskDecoderConfig::Kind;
  MaskDecoderConfig config;
  if (reader.tensors().Has(prefix + "hf_token.weight")) config.kind = Kind::kHq;
  if (reader.tensors().Has(prefix + "obj_score_token.weight")) config.kind = Kind::kSam2;

  const std::string layer = prefix + "transformer.layers.";
  const std::string lin1 =
      layer + (config.kind == Kind::kSam2 ? "0.mlp.layers.0.weight" : "0.mlp.lin1.weight");
  config.depth = reader.tensors().CountIndexed(layer);
  reader.Require(config.depth > 0, lin1, "at least one is needed");
  config.mlp_dim = reader.Read(lin1, {"mlp", "D"})[0];
  const std::string q_name = layer + "0.cross_attn_token_to_image.q_proj.weight";
  const std::int64_t internal = reader.Read(q_name, {"D/downsample", "D"})[0];
  reader.Require(dim % internal == 0 && internal % config.num_heads == 0, q_name,
                 absl::StrCat("its rows must divide ", dim, " and be a multiple of ",
                              config.num_heads, " heads"));
  config.attention_downsample = dim / internal;
  const std::string tokens_name = prefix + "mask_tokens.weight";
  config.num_mask_tokens = reader.Read(tokens_name, {"masks", "D"})[0];
  reader.Require(config.num_mask_tokens >= 2 && config.num_mask_tokens <= 64, tokens_name,
                 "needs 2 to 64 rows");
  config.iou_head_depth = reader.tensors().CountIndexed(prefix + "iou_prediction_head.layers.");
  config.iou_head_hidden =
      reader.Read(prefix + "iou_prediction_head.layers.0.weight", {"hidden", "D"})[0];
  if (config.kind == Kind::kHq) {
    config.vit_dim = reader.Read(prefix + "compress_vit_feat.0.weight", {"C", "D", "2", "2"})[0];
  }
  return config;
}

}  // namespace

void ReadPrompted(const std::string& prompt_encoder, const std::string& mask_decoder,
                  ShapeReader& reader, PromptedConfig* config) {
  const std::string iou_name = mask_decoder + "iou_token.weight";
  config->embed_dim = reader.Read(iou_name, {"1", "D"})[1];
  reader.Require(config->embed_dim % 8 == 0, iou_name, "its width must be a multiple of 8");
  const std::string mask_name = prompt_encoder + "mask_downscaling.3.weight";
  config->prompt_encoder.mask_in_chans = reader.Read(mask_name, {"M", "M/4", "2", "2"})[0];
  reader.Require(config->prompt_encoder.mask_in_chans % 4 == 0, mask_name,
                 "needs a multiple of 4 rows");
  config->mask_decoder = ReadMaskDecoder(mask_decoder, config->embed_dim, reader);
}

std::int64_t CountPromptedWeights(const PromptedConfig& config) {
  const std::int64_t d = config.embed_dim;
  return config.mask_decoder.depth * 2 * d * config.mask_decoder.mlp_dim +
         config.mask_decoder.vit_dim * d * 4;
}

}  // namespace segmenter
