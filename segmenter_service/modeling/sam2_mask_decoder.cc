#include "segmenter_service/modeling/sam2_mask_decoder.h"

#include <ATen/Functions.h>

namespace segmenter {
namespace {

// |logits > delta| / |logits > -delta| of each of [B, 1, H, W], 1 if both are empty: [B, 1].
at::Tensor Stability(const at::Tensor& logits, float delta) {
  const at::Tensor inner = (logits > delta).sum({2, 3}).to(at::kFloat);
  const at::Tensor outer = (logits > -delta).sum({2, 3}).to(at::kFloat);
  return at::where(outer > 0, inner / outer, at::ones_like(inner));
}

}  // namespace

Sam2MaskDecoderImpl::Sam2MaskDecoderImpl(const MaskDecoderConfig& config, std::int64_t dim)
    : MaskDecoderImpl(config, dim) {
  obj_score_token = register_module("obj_score_token", nn::Embedding(1, dim));
  conv_s0 = register_module(
      "conv_s0", nn::Conv2d(nn::Conv2dOptions{.in_channels = dim, .out_channels = dim / 8}));
  conv_s1 = register_module(
      "conv_s1", nn::Conv2d(nn::Conv2dOptions{.in_channels = dim, .out_channels = dim / 4}));
}

std::vector<at::Tensor> Sam2MaskDecoderImpl::HighResFeatures(const EncodedImage& image) {
  return {conv_s0(image.levels.at(0)), conv_s1(image.levels.at(1))};
}

at::Tensor Sam2MaskDecoderImpl::OwnTokens() const {
  return at::cat({obj_score_token->weight, MaskDecoderImpl::OwnTokens()});
}

at::Tensor Sam2MaskDecoderImpl::Upscale(const at::Tensor& image,
                                        const std::vector<at::Tensor>& high_res) {
  return output_upscaling(image, high_res);
}

DecodedMasks Sam2MaskDecoderImpl::Refine(const DecodedMasks& masks, const at::Tensor&,
                                         const at::Tensor&, const std::vector<at::Tensor>&) {
  return {masks.logits, at::sigmoid(masks.iou_predictions)};
}

DecodedMasks Sam2MaskDecoderImpl::Select(const DecodedMasks& masks, bool multimask_output) const {
  if (multimask_output || !config.dynamic_multimask_via_stability) {
    return MaskDecoderImpl::Select(masks, multimask_output);
  }
  const at::Tensor stable =
      Stability(masks.logits.slice(1, 0, 1), config.dynamic_multimask_stability_delta) >=
      config.dynamic_multimask_stability_thresh;
  const at::Tensor best = masks.iou_predictions.slice(1, 1).argmax(1, /*keepdim=*/true) + 1;
  const at::Tensor chosen = at::where(stable, at::zeros_like(best), best);  // [B, 1]
  return {at::take_along_dim(masks.logits, chosen.view({-1, 1, 1, 1}), 1),
          at::take_along_dim(masks.iou_predictions, chosen, 1)};
}

}  // namespace segmenter
