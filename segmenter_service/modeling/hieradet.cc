#include "segmenter_service/modeling/hieradet.h"

#include <ATen/Functions.h>

#include "segmenter_service/modeling/attention.h"
#include "segmenter_service/modeling/windows.h"

namespace segmenter {
namespace {

constexpr double kNormEps = 1e-6;

// [B, H, W, C] to [B, H / 2, W / 2, C].
at::Tensor Pool(const at::Tensor& x) {
  return at::max_pool2d(x.permute({0, 3, 1, 2}), {2, 2}, {2, 2}).permute({0, 2, 3, 1});
}

}  // namespace

MultiScaleAttentionImpl::MultiScaleAttentionImpl(const HieraConfig::Block& block)
    : num_heads_(block.num_heads), dim_out_(block.dim_out), pool_(block.pool) {
  qkv = register_module("qkv", nn::Linear(block.dim_in, 3 * block.dim_out));
  proj = register_module("proj", nn::Linear(block.dim_out, block.dim_out));
}

at::Tensor MultiScaleAttentionImpl::forward(const at::Tensor& x) {
  const std::int64_t windows = x.size(0), head_dim = dim_out_ / num_heads_;
  std::vector<at::Tensor> parts = qkv(x).split(dim_out_, 3);  // q, k, v, each [.., H, W, dim_out]
  if (pool_) parts[0] = Pool(parts[0]);
  const std::int64_t height = parts[0].size(1), width = parts[0].size(2);
  for (at::Tensor& part : parts) {  // to [windows * heads, H * W, d]
    part = part.reshape({windows, -1, num_heads_, head_dim}).transpose(1, 2);
    part = part.reshape({windows * num_heads_, -1, head_dim});
  }
  return proj(Attend(parts[0], parts[1], parts[2])
                  .view({windows, num_heads_, -1, head_dim})
                  .transpose(1, 2)
                  .reshape({windows, height, width, dim_out_}));
}

MultiScaleBlockImpl::MultiScaleBlockImpl(const HieraConfig::Block& block, std::int64_t mlp_ratio)
    : window_(block.window) {
  norm1 = register_module("norm1", nn::LayerNorm(block.dim_in, kNormEps));
  attn = register_module("attn", MultiScaleAttention(block));
  norm2 = register_module("norm2", nn::LayerNorm(block.dim_out, kNormEps));
  mlp = register_module(
      "mlp", MlpBlock(block.dim_out, mlp_ratio * block.dim_out, MlpBlockImpl::Activation::kGelu,
                      MlpBlockImpl::Keys::kLayers));
  if (block.pool) proj = register_module("proj", nn::Linear(block.dim_in, block.dim_out));
}

at::Tensor MultiScaleBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor normed = norm1(x);
  // The shortcut of a block that changes the width starts after the norm.
  const at::Tensor shortcut = proj ? Pool(proj(normed)) : x;
  const at::Tensor attended =
      window_ == 0 ? attn(normed)
                   : JoinWindows(attn(PartitionWindows(normed, window_)), shortcut.size(1));
  const at::Tensor sum = shortcut + attended;
  return sum + mlp(norm2(sum));
}

HieraPatchEmbedImpl::HieraPatchEmbedImpl(std::int64_t embed_dim) {
  proj = register_module("proj", nn::Conv2d(nn::Conv2dOptions{.in_channels = 3,
                                                              .out_channels = embed_dim,
                                                              .kernel_size = 7,
                                                              .stride = HieraConfig::kPatchStride,
                                                              .padding = 3}));
}

at::Tensor HieraPatchEmbedImpl::forward(const at::Tensor& x) {
  return proj(x).permute({0, 2, 3, 1});
}

HieraImpl::HieraImpl(const HieraConfig& config) {
  patch_embed = register_module("patch_embed", HieraPatchEmbed(config.embed_dim));
  const std::vector<std::int64_t>& background = config.window_pos_embed_bkg_spatial_size;
  pos_embed = register_parameter("pos_embed",
                                 at::zeros({1, config.embed_dim, background[0], background[1]}));
  const std::int64_t window = config.window_spec[0];
  pos_embed_window =
      register_parameter("pos_embed_window", at::zeros({1, config.embed_dim, window, window}));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (const HieraConfig::Block& block : config.Blocks()) {
    blocks->push_back(MultiScaleBlock(block, config.mlp_ratio));
    ends_stage_.push_back(block.ends_stage);
  }
}

at::Tensor HieraImpl::Begin(const at::Tensor& input) {
  const at::Tensor patches = patch_embed(input);
  return patches + Positions(patches.size(1));
}

at::Tensor HieraImpl::Positions(std::int64_t grid) const {
  const std::int64_t tiles = grid / pos_embed_window.size(2);
  const at::Tensor positions =
      at::upsample_bicubic2d(pos_embed, {grid, grid}, /*align_corners=*/false) +
      pos_embed_window.repeat({1, 1, tiles, tiles});
  return positions.permute({0, 2, 3, 1});
}

at::Tensor HieraImpl::Block(std::int64_t index, const at::Tensor& tokens) {
  return blocks->at<MultiScaleBlockImpl>(static_cast<std::size_t>(index)).forward(tokens);
}

}  // namespace segmenter
