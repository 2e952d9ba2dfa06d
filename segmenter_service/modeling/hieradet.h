// Hiera, SAM 2's trunk (sam2/modeling/backbones/hieradet.py): four stages of transformer blocks on
// ever coarser grids; the first block of a stage pools its queries and so halves the grid.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_HIERADET_H_
#define DUET_SEGMENTER_SERVICE_MODELING_HIERADET_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "nn/layers.h"
#include "segmenter_service/modeling/mlp_block.h"
#include "segmenter_service/modeling/sam2_config.h"

namespace segmenter {

// Within one window.
class MultiScaleAttentionImpl : public torch::nn::Module {
 public:
  explicit MultiScaleAttentionImpl(const HieraConfig::Block& block);
  // [windows, H, W, dim_in] to [windows, H, W, dim_out], or half of H and W if it pools.
  at::Tensor forward(const at::Tensor& x);

  nn::Linear qkv{nullptr}, proj{nullptr};

 private:
  const std::int64_t num_heads_, dim_out_;
  const bool pool_;
};
TORCH_MODULE(MultiScaleAttention);

class MultiScaleBlockImpl : public torch::nn::Module {
 public:
  MultiScaleBlockImpl(const HieraConfig::Block& block, std::int64_t mlp_ratio);
  at::Tensor forward(const at::Tensor& x);  // [B, grid, grid, dim_in]

  nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  MultiScaleAttention attn{nullptr};
  MlpBlock mlp{nullptr};
  nn::Linear proj{nullptr};  // of the shortcut, where the width changes; else null

 private:
  const std::int64_t window_;
};
TORCH_MODULE(MultiScaleBlock);

// Key "patch_embed": 7x7 patches, every 4 pixels.
class HieraPatchEmbedImpl : public torch::nn::Module {
 public:
  explicit HieraPatchEmbedImpl(std::int64_t embed_dim);
  at::Tensor forward(const at::Tensor& x);  // [B, 3, S, S] to [B, S / 4, S / 4, C]

  nn::Conv2d proj{nullptr};
};
TORCH_MODULE(HieraPatchEmbed);

class HieraImpl : public torch::nn::Module {
 public:
  explicit HieraImpl(const HieraConfig& config);

  std::int64_t depth() const { return static_cast<std::int64_t>(blocks->size()); }
  at::Tensor Begin(const at::Tensor& input);  // to tokens [B, grid, grid, C]
  // What Begin adds to patches, [1, grid, grid, C].
  at::Tensor Positions(std::int64_t grid) const;
  at::Tensor Block(std::int64_t index, const at::Tensor& tokens);
  // Whether a stage, and so a level of the pyramid, ends with this block.
  bool EndsStage(std::int64_t index) const { return ends_stage_[static_cast<std::size_t>(index)]; }

  HieraPatchEmbed patch_embed{nullptr};
  at::Tensor pos_embed;         // [1, C, height, width], to be stretched over the grid
  at::Tensor pos_embed_window;  // [1, C, window, window], to be repeated over the grid
  torch::nn::ModuleList blocks{nullptr};

 private:
  std::vector<bool> ends_stage_;
};
TORCH_MODULE(Hiera);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_HIERADET_H_
