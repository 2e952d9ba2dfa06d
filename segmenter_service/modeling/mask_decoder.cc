#include "segmenter_service/modeling/mask_decoder.h"

#include <ATen/Functions.h>

#include <memory>
#include <vector>

#include "segmenter_service/modeling/mask_decoder_hq.h"
#include "segmenter_service/modeling/sam2_mask_decoder.h"

namespace segmenter {

MlpImpl::MlpImpl(std::int64_t in, std::int64_t hidden, std::int64_t out, std::int64_t depth) {
  layers = register_module("layers", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < depth; ++i) {
    layers->push_back(nn::Linear(i == 0 ? in : hidden, i == depth - 1 ? out : hidden));
  }
}

at::Tensor MlpImpl::forward(at::Tensor x) {
  for (std::size_t i = 0; i < layers->size(); ++i) {
    x = layers->at<nn::LinearImpl>(i).forward(x);
    if (i + 1 < layers->size()) x = at::relu(x);
  }
  return x;
}

OutputUpscalingImpl::OutputUpscalingImpl(std::int64_t dim) {
  conv1 = register_module("0", nn::ConvTranspose2d(dim, dim / 4, 2));
  norm = register_module("1", nn::LayerNorm2d(dim / 4));
  conv2 = register_module("3", nn::ConvTranspose2d(dim / 4, dim / 8, 2));
}

at::Tensor OutputUpscalingImpl::forward(const at::Tensor& x,
                                        const std::vector<at::Tensor>& high_res) {
  at::Tensor half = conv1(x);
  if (!high_res.empty()) half = half + high_res[1];
  at::Tensor full = conv2(at::gelu(norm(half)));
  if (!high_res.empty()) full = full + high_res[0];
  return at::gelu(full);
}

at::Tensor MasksOf(const at::Tensor& weights, const at::Tensor& image) {
  return at::bmm(weights, image.flatten(2))
      .view({weights.size(0), weights.size(1), image.size(2), image.size(3)});
}

MaskDecoderImpl::MaskDecoderImpl(const MaskDecoderConfig& decoder_config, std::int64_t dim)
    : config(decoder_config) {
  transformer = register_module("transformer", TwoWayTransformer(config, dim));
  iou_token = register_module("iou_token", nn::Embedding(1, dim));
  mask_tokens = register_module("mask_tokens", nn::Embedding(config.num_mask_tokens, dim));
  output_upscaling = register_module("output_upscaling", OutputUpscaling(dim));
  output_hypernetworks_mlps = register_module("output_hypernetworks_mlps", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < config.num_mask_tokens; ++i) {
    output_hypernetworks_mlps->push_back(Mlp(dim, dim, dim / 8, 3));
  }
  iou_prediction_head = register_module(
      "iou_prediction_head",
      Mlp(dim, config.iou_head_hidden, config.num_mask_tokens, config.iou_head_depth));
}

DecodedMasks MaskDecoderImpl::forward(const at::Tensor& image_embeddings,
                                      const at::Tensor& image_positions, const at::Tensor& sparse,
                                      const at::Tensor& dense,
                                      const std::vector<at::Tensor>& high_res) {
  const std::int64_t batch = sparse.size(0);
  const std::int64_t masks = mask_tokens->weight.size(0);
  const at::Tensor tokens = at::cat({OwnTokens().unsqueeze(0).expand({batch, -1, -1}), sparse}, 1);

  const at::Tensor sum = image_embeddings + dense;
  const std::int64_t height = sum.size(2), width = sum.size(3);
  // [1 or B, cells, C]. As long as all prompts share one row, the first layer's products on the
  // image are computed once for all of them; what meets the tokens broadcasts.
  const at::Tensor image = sum.flatten(2).transpose(1, 2);
  const auto [out, cells] =
      transformer->forward(image, image_positions.flatten(2).transpose(1, 2), tokens);

  const at::Tensor upscaled =
      Upscale(cells.transpose(1, 2).reshape({batch, -1, height, width}), high_res);
  std::vector<at::Tensor> weights;  // per mask token [B, C / 8]
  for (std::int64_t i = 0; i < masks; ++i) {
    weights.push_back(output_hypernetworks_mlps->at<MlpImpl>(static_cast<std::size_t>(i))
                          .forward(out.select(1, iou_index() + 1 + i)));
  }
  const DecodedMasks decoded{MasksOf(at::stack(weights, 1), upscaled),
                             iou_prediction_head(out.select(1, iou_index()))};
  return Refine(decoded, out, upscaled, high_res);
}

std::vector<at::Tensor> MaskDecoderImpl::HighResFeatures(const EncodedImage&) { return {}; }

DecodedMasks MaskDecoderImpl::Select(const DecodedMasks& masks, bool multimask_output) const {
  const std::int64_t from = multimask_output ? 1 : 0;
  const std::int64_t to = multimask_output ? masks.logits.size(1) : 1;
  return {masks.logits.slice(1, from, to), masks.iou_predictions.slice(1, from, to)};
}

at::Tensor MaskDecoderImpl::OwnTokens() const {
  return at::cat({iou_token->weight, mask_tokens->weight});
}

at::Tensor MaskDecoderImpl::Upscale(const at::Tensor& image, const std::vector<at::Tensor>&) {
  return output_upscaling(image);
}

DecodedMasks MaskDecoderImpl::Refine(const DecodedMasks& masks, const at::Tensor&,
                                     const at::Tensor&, const std::vector<at::Tensor>&) {
  return masks;
}

MaskDecoder MakeMaskDecoder(const MaskDecoderConfig& config, std::int64_t dim) {
  switch (config.kind) {
    case MaskDecoderConfig::Kind::kHq:
      return std::shared_ptr<MaskDecoderImpl>(std::make_shared<MaskDecoderHqImpl>(config, dim));
    case MaskDecoderConfig::Kind::kSam2:
      return std::shared_ptr<MaskDecoderImpl>(std::make_shared<Sam2MaskDecoderImpl>(config, dim));
    case MaskDecoderConfig::Kind::kSam:
      break;
  }
  return MaskDecoder(config, dim);
}

}  // namespace segmenter
