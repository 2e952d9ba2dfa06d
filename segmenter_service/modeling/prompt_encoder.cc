#include "segmenter_service/modeling/prompt_encoder.h"

#include <ATen/Functions.h>

#include <numbers>

namespace segmenter {

PositionEmbeddingRandomImpl::PositionEmbeddingRandomImpl(std::int64_t num_frequencies)
    : positional_encoding_gaussian_matrix(register_buffer("positional_encoding_gaussian_matrix",
                                                          at::randn({2, num_frequencies}))) {}

at::Tensor PositionEmbeddingRandomImpl::forward(const at::Tensor& unit_coords) {
  const at::Tensor phases =
      at::matmul(2 * unit_coords - 1, positional_encoding_gaussian_matrix) * (2 * std::numbers::pi);
  return at::cat({at::sin(phases), at::cos(phases)}, -1);
}

MaskDownscalingImpl::MaskDownscalingImpl(std::int64_t mask_in_chans, std::int64_t embed_dim) {
  const auto conv = [](std::int64_t in, std::int64_t out, std::int64_t kernel) {
    return nn::Conv2d(nn::Conv2dOptions{
        .in_channels = in, .out_channels = out, .kernel_size = kernel, .stride = kernel});
  };
  const std::int64_t quarter = mask_in_chans / 4;
  conv1 = register_module("0", conv(1, quarter, 2));
  norm1 = register_module("1", nn::LayerNorm2d(quarter));
  conv2 = register_module("3", conv(quarter, mask_in_chans, 2));
  norm2 = register_module("4", nn::LayerNorm2d(mask_in_chans));
  conv3 = register_module("6", conv(mask_in_chans, embed_dim, 1));
}

at::Tensor MaskDownscalingImpl::forward(const at::Tensor& masks) {
  return conv3(at::gelu(norm2(conv2(at::gelu(norm1(conv1(masks)))))));
}

PromptEncoderImpl::PromptEncoderImpl(const PromptEncoderConfig& config, std::int64_t embed_dim,
                                     std::int64_t image_size, std::int64_t grid)
    : image_size_(image_size), grid_(grid) {
  pe_layer = register_module("pe_layer", PositionEmbeddingRandom(embed_dim / 2));
  point_embeddings = register_module("point_embeddings", torch::nn::ModuleList());
  for (int i = 0; i < 4; ++i) point_embeddings->push_back(nn::Embedding(1, embed_dim));
  not_a_point_embed = register_module("not_a_point_embed", nn::Embedding(1, embed_dim));
  mask_downscaling =
      register_module("mask_downscaling", MaskDownscaling(config.mask_in_chans, embed_dim));
  no_mask_embed = register_module("no_mask_embed", nn::Embedding(1, embed_dim));
}

const at::Tensor& PromptEncoderImpl::PointEmbedding(std::size_t index) {
  return point_embeddings->at<nn::EmbeddingImpl>(index).weight;
}

at::Tensor PromptEncoderImpl::PositionsOf(const at::Tensor& coords) {
  return pe_layer((coords + 0.5) / static_cast<double>(image_size_));
}

at::Tensor PromptEncoderImpl::EmbedPoints(const at::Tensor& coords, const at::Tensor& labels,
                                          bool pad) {
  at::Tensor all_coords = coords, all_labels = labels;
  if (pad) {
    all_coords = at::constant_pad_nd(coords, {0, 0, 0, 1});
    all_labels = at::constant_pad_nd(labels, {0, 1}, -1);
  }
  const at::Tensor label = all_labels.unsqueeze(-1);
  const at::Tensor embedding =
      at::where(label == -1, not_a_point_embed->weight, PositionsOf(all_coords));
  return embedding + (label == 0) * PointEmbedding(0) + (label == 1) * PointEmbedding(1);
}

at::Tensor PromptEncoderImpl::EmbedBoxes(const at::Tensor& boxes) {
  return PositionsOf(boxes.view({-1, 2, 2})) + at::cat({PointEmbedding(2), PointEmbedding(3)});
}

at::Tensor PromptEncoderImpl::EmbedMasks(const at::Tensor& masks) {
  return mask_downscaling(masks);
}

at::Tensor PromptEncoderImpl::NoMask() { return no_mask_embed->weight.view({1, -1, 1, 1}); }

at::Tensor PromptEncoderImpl::DensePositions() {
  const at::Tensor cell =
      (at::arange(grid_, no_mask_embed->weight.options()) + 0.5) / static_cast<double>(grid_);
  const at::Tensor x = cell.view({1, grid_}).expand({grid_, grid_});
  return pe_layer(at::stack({x, x.t()}, -1)).permute({2, 0, 1}).unsqueeze(0);
}

}  // namespace segmenter
