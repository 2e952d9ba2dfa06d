#include "segmenter_service/modeling/mask_decoder_hq.h"

#include <ATen/Functions.h>

#include <tuple>

namespace segmenter {

FeatureUpscalingImpl::FeatureUpscalingImpl(std::int64_t in, std::int64_t middle, std::int64_t out) {
  conv1 = register_module("0", nn::ConvTranspose2d(in, middle, 2));
  norm = register_module("1", nn::LayerNorm2d(middle));
  conv2 = register_module("3", nn::ConvTranspose2d(middle, out, 2));
}

at::Tensor FeatureUpscalingImpl::forward(const at::Tensor& x) {
  return conv2(at::gelu(norm(conv1(x))));
}

MaskFeatureImpl::MaskFeatureImpl(std::int64_t dim) {
  const auto options = [](std::int64_t in, std::int64_t out) {
    return nn::Conv2dOptions{
        .in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1};
  };
  conv1 = register_module("0", nn::Conv2d(options(dim / 8, dim / 4)));
  norm = register_module("1", nn::LayerNorm2d(dim / 4));
  conv2 = register_module("3", nn::Conv2d(options(dim / 4, dim / 8)));
}

at::Tensor MaskFeatureImpl::forward(const at::Tensor& x) { return conv2(at::gelu(norm(conv1(x)))); }

MaskDecoderHqImpl::MaskDecoderHqImpl(const MaskDecoderConfig& config, std::int64_t dim)
    : MaskDecoderImpl(config, dim) {
  hf_token = register_module("hf_token", nn::Embedding(1, dim));
  hf_mlp = register_module("hf_mlp", Mlp(dim, dim, dim / 8, 3));
  compress_vit_feat =
      register_module("compress_vit_feat", FeatureUpscaling(config.vit_dim, dim, dim / 8));
  embedding_encoder = register_module("embedding_encoder", FeatureUpscaling(dim, dim / 4, dim / 8));
  embedding_maskfeature = register_module("embedding_maskfeature", MaskFeature(dim));
}

std::vector<at::Tensor> MaskDecoderHqImpl::HighResFeatures(const EncodedImage& image) {
  return {embedding_encoder(image.embedding) + compress_vit_feat(image.levels.at(0))};
}

at::Tensor MaskDecoderHqImpl::OwnTokens() const {
  return at::cat({MaskDecoderImpl::OwnTokens(), hf_token->weight});
}

DecodedMasks MaskDecoderHqImpl::Refine(const DecodedMasks& masks, const at::Tensor& tokens,
                                       const at::Tensor& upscaled,
                                       const std::vector<at::Tensor>& high_res) {
  return RefineWith(masks, tokens, embedding_maskfeature(upscaled), high_res);
}

DecodedMasks MaskDecoderHqImpl::RefineWith(const DecodedMasks& masks, const at::Tensor& tokens,
                                           const at::Tensor& features,
                                           const std::vector<at::Tensor>& high_res) {
  const std::int64_t hf_index = iou_index() + 1 + mask_tokens->weight.size(0);
  const at::Tensor weights = hf_mlp(tokens.select(1, hf_index)).unsqueeze(1);
  const at::Tensor fine = MasksOf(weights, features + high_res.at(0));
  return {at::cat({masks.logits, fine}, 1), masks.iou_predictions};
}

DecodedMasks MaskDecoderHqImpl::Select(const DecodedMasks& masks, bool multimask_output) const {
  const std::int64_t last = masks.logits.size(1) - 1;
  const at::Tensor fine = masks.logits.slice(1, last, last + 1);
  at::Tensor sam = masks.logits.slice(1, 0, 1), iou = masks.iou_predictions.slice(1, 0, 1);
  if (multimask_output) {
    at::Tensor best;
    std::tie(iou, best) = masks.iou_predictions.slice(1, 1).max(1, /*keepdim=*/true);
    sam = at::take_along_dim(masks.logits, (best + 1).view({-1, 1, 1, 1}), 1);
  }
  return {config.hq_token_only ? fine : sam + fine, iou};
}

}  // namespace segmenter
