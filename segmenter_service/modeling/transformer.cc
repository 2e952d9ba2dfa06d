#include "segmenter_service/modeling/transformer.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>

namespace segmenter {
namespace {

// Unlike the encoder's, these keep Torch's default epsilon.
nn::LayerNorm DecoderNorm(std::int64_t dim) { return nn::LayerNorm(dim, /*eps=*/1e-5); }

// [B, N, heads * d] to [B, heads, N, d].
at::Tensor SplitHeads(const at::Tensor& x, std::int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

// The product first, then the bias. at::linear fuses the two and rounds otherwise: what a training
// gives would not be the same to the bit.
at::Tensor Project(const nn::Linear& layer, const at::Tensor& x) {
  return at::matmul(x, layer->weight.t()) + layer->bias;
}

}  // namespace

TokenAttentionImpl::TokenAttentionImpl(std::int64_t dim, std::int64_t num_heads,
                                       std::int64_t downsample)
    : num_heads_(num_heads) {
  const std::int64_t internal = dim / downsample;
  q_proj = register_module("q_proj", nn::Linear(dim, internal));
  k_proj = register_module("k_proj", nn::Linear(dim, internal));
  v_proj = register_module("v_proj", nn::Linear(dim, internal));
  out_proj = register_module("out_proj", nn::Linear(internal, dim));
}

at::Tensor TokenAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k,
                                       const at::Tensor& v) {
  const at::Tensor qs = SplitHeads(Project(q_proj, q), num_heads_);
  const at::Tensor ks = SplitHeads(Project(k_proj, k), num_heads_);
  const at::Tensor vs = SplitHeads(Project(v_proj, v), num_heads_);
  const at::Tensor scores =
      at::matmul(qs, ks.transpose(2, 3)) / std::sqrt(static_cast<double>(qs.size(3)));
  return Project(out_proj, at::matmul(at::softmax(scores, -1), vs).transpose(1, 2).flatten(2));
}

TwoWayAttentionBlockImpl::TwoWayAttentionBlockImpl(const MaskDecoderConfig& config,
                                                   std::int64_t dim, bool first)
    : first_(first) {
  self_attn = register_module("self_attn", TokenAttention(dim, config.num_heads, 1));
  norm1 = register_module("norm1", DecoderNorm(dim));
  cross_attn_token_to_image =
      register_module("cross_attn_token_to_image",
                      TokenAttention(dim, config.num_heads, config.attention_downsample));
  norm2 = register_module("norm2", DecoderNorm(dim));
  mlp = register_module(
      "mlp", MlpBlock(dim, config.mlp_dim, MlpBlockImpl::Activation::kRelu,
                      config.kind == MaskDecoderConfig::Kind::kSam2 ? MlpBlockImpl::Keys::kLayers
                                                                    : MlpBlockImpl::Keys::kLin));
  norm3 = register_module("norm3", DecoderNorm(dim));
  norm4 = register_module("norm4", DecoderNorm(dim));
  cross_attn_image_to_token =
      register_module("cross_attn_image_to_token",
                      TokenAttention(dim, config.num_heads, config.attention_downsample));
}

std::pair<at::Tensor, at::Tensor> TwoWayAttentionBlockImpl::forward(at::Tensor queries,
                                                                    at::Tensor keys,
                                                                    const at::Tensor& query_pos,
                                                                    const at::Tensor& key_pos) {
  if (first_) {
    queries = norm1(self_attn(queries, queries, queries));
  } else {
    const at::Tensor q = queries + query_pos;
    queries = norm1(queries + self_attn(q, q, queries));
  }
  const at::Tensor k = keys + key_pos;
  queries = norm2(queries + cross_attn_token_to_image(queries + query_pos, k, keys));
  queries = norm3(queries + mlp(queries));
  keys = norm4(keys + cross_attn_image_to_token(k, queries + query_pos, queries));
  return {queries, keys};
}

TwoWayTransformerImpl::TwoWayTransformerImpl(const MaskDecoderConfig& config, std::int64_t dim) {
  layers = register_module("layers", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < config.depth; ++i) {
    layers->push_back(TwoWayAttentionBlock(config, dim, /*first=*/i == 0));
  }
  final_attn_token_to_image =
      register_module("final_attn_token_to_image",
                      TokenAttention(dim, config.num_heads, config.attention_downsample));
  norm_final_attn = register_module("norm_final_attn", DecoderNorm(dim));
}

std::pair<at::Tensor, at::Tensor> TwoWayTransformerImpl::forward(const at::Tensor& image,
                                                                 const at::Tensor& positions,
                                                                 const at::Tensor& tokens) {
  at::Tensor queries = tokens, keys = image;
  for (std::size_t i = 0; i < layers->size(); ++i) {
    std::tie(queries, keys) =
        layers->at<TwoWayAttentionBlockImpl>(i).forward(queries, keys, tokens, positions);
  }
  queries = norm_final_attn(queries +
                            final_attn_token_to_image(queries + tokens, keys + positions, keys));
  return {queries, keys};
}

}  // namespace segmenter
