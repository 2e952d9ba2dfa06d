// The two-way transformer (segment_anything/modeling/transformer.py): the prompt's few tokens and
// the image's cells attend to each other, in both directions.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_TRANSFORMER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_TRANSFORMER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <utility>

#include "nn/layers.h"
#include "segmenter_service/modeling/mlp_block.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Attention with separate projections of queries, keys and values, which may have fewer dimensions
// than its inputs.
class TokenAttentionImpl : public torch::nn::Module {
 public:
  TokenAttentionImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t downsample);
  // q [B, N, C], k and v [B, M, C] to [B, N, C]; a batch of 1 broadcasts, on either side.
  at::Tensor forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

  nn::Linear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, out_proj{nullptr};

 private:
  const std::int64_t num_heads_;
};
TORCH_MODULE(TokenAttention);

class TwoWayAttentionBlockImpl : public torch::nn::Module {
 public:
  // `first`: the layer whose self-attention has neither positions nor a residual.
  TwoWayAttentionBlockImpl(const MaskDecoderConfig& config, std::int64_t dim, bool first);
  // Returns the new (queries [B, N, C], keys [B, M, C]).
  std::pair<at::Tensor, at::Tensor> forward(at::Tensor queries, at::Tensor keys,
                                            const at::Tensor& query_pos, const at::Tensor& key_pos);

  TokenAttention self_attn{nullptr}, cross_attn_token_to_image{nullptr},
      cross_attn_image_to_token{nullptr};
  nn::LayerNorm norm1{nullptr}, norm2{nullptr}, norm3{nullptr}, norm4{nullptr};
  MlpBlock mlp{nullptr};

 private:
  const bool first_;
};
TORCH_MODULE(TwoWayAttentionBlock);

class TwoWayTransformerImpl : public torch::nn::Module {
 public:
  TwoWayTransformerImpl(const MaskDecoderConfig& config, std::int64_t dim);
  // image [B, M, C], positions [1, M, C], tokens [B, N, C], which also serve as their own
  // positions. Returns (tokens, image).
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& image, const at::Tensor& positions,
                                            const at::Tensor& tokens);

  torch::nn::ModuleList layers{nullptr};
  TokenAttention final_attn_token_to_image{nullptr};
  nn::LayerNorm norm_final_attn{nullptr};
};
TORCH_MODULE(TwoWayTransformer);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_TRANSFORMER_H_
