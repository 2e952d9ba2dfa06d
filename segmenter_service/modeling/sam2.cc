#include "segmenter_service/modeling/sam2.h"

#include <ATen/Functions.h>

#include <memory>
#include <utility>

namespace segmenter {

FpnNeckImpl::FpnNeckImpl(const HieraConfig& config, std::int64_t dim) {
  auto list = register_module("convs", torch::nn::ModuleList());
  const std::vector<HieraConfig::Block> blocks = config.Blocks();
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    if (!block->ends_stage) continue;
    auto child = std::make_shared<torch::nn::Module>();
    convs.push_back(child->register_module(
        "conv", nn::Conv2d(nn::Conv2dOptions{.in_channels = block->dim_out, .out_channels = dim})));
    list->push_back(std::move(child));
  }
}

std::vector<at::Tensor> FpnNeckImpl::forward(const std::vector<at::Tensor>& levels) {
  std::vector<at::Tensor> out;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    out.push_back(convs[levels.size() - 1 - i](levels[i]));
  }
  // fpn_top_down_levels [2, 3]: the last but one alone gets something from above.
  at::Tensor& receiver = out[out.size() - 2];
  receiver = receiver + at::upsample_nearest2d(out.back(), receiver.sizes().slice(2));
  return out;
}

Sam2Impl::Sam2Impl(const Sam2Config& sam2_config) : config(sam2_config) {
  auto image_encoder = register_module("image_encoder", std::make_shared<torch::nn::Module>());
  trunk = image_encoder->register_module("trunk", Hiera(config.image_encoder));
  neck = image_encoder->register_module("neck", FpnNeck(config.image_encoder, config.embed_dim));
  no_mem_embed = register_parameter("no_mem_embed", at::zeros({1, 1, config.embed_dim}));
  prompt_encoder = register_module("sam_prompt_encoder",
                                   PromptEncoder(config.prompt_encoder, config.embed_dim,
                                                 config.image_encoder.image_size, config.grid()));
  mask_decoder =
      register_module("sam_mask_decoder", MakeMaskDecoder(config.mask_decoder, config.embed_dim));
}

std::vector<std::string> Sam2Impl::UnusedPrefixes() {
  return {"memory_attention.",  "memory_encoder.",
          "maskmem_tpos_enc",   "no_mem_pos_enc",
          "no_obj_ptr",         "no_obj_embed_spatial",
          "obj_ptr_proj.",      "mask_downsample.",
          "obj_ptr_tpos_proj.", "sam_mask_decoder.pred_obj_score_head."};
}

at::Tensor Sam2Impl::Step(std::int64_t index, const at::Tensor& tokens,
                          std::vector<at::Tensor>* levels, const Pause&) {
  const at::Tensor out = trunk->Block(index, tokens);
  if (trunk->EndsStage(index)) levels->push_back(out.permute({0, 3, 1, 2}));
  return out;
}

EncodedImage Sam2Impl::Finish(const at::Tensor&, std::vector<at::Tensor> levels) {
  const std::vector<at::Tensor> pyramid = neck(levels);
  return {(pyramid[2] + no_mem_embed.view({1, -1, 1, 1})).contiguous(), {pyramid[0], pyramid[1]}};
}

}  // namespace segmenter
