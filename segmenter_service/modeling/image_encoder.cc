#include "segmenter_service/modeling/image_encoder.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "segmenter_service/modeling/windows.h"

namespace segmenter {
namespace {

// Upper bound of a score tensor when no gradient is wanted: 64 MiB of float32, where a ViT-B global
// block would need 805 MB for all heads and rows at once.
constexpr std::int64_t kMaxScores = std::int64_t{16} << 20;

nn::LayerNorm EncoderNorm(std::int64_t dim) { return nn::LayerNorm(dim, /*eps=*/1e-6); }

// [2 * side - 1, d] to [side (query), side (key), d]: row (q, k) holds the table's entry for offset
// q - k.
at::Tensor RelativeTable(const at::Tensor& rel_pos, std::int64_t side) {
  const at::Tensor position = at::arange(side, rel_pos.options().dtype(at::kLong));
  const at::Tensor index = position.unsqueeze(1) - position.unsqueeze(0) + (side - 1);
  return rel_pos.index_select(0, index.flatten()).view({side, side, rel_pos.size(1)});
}

}  // namespace

ImageAttentionImpl::ImageAttentionImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t side)
    : num_heads_(num_heads), side_(side) {
  qkv = register_module("qkv", nn::Linear(dim, 3 * dim));
  proj = register_module("proj", nn::Linear(dim, dim));
  const std::int64_t head_dim = dim / num_heads;
  rel_pos_h = register_parameter("rel_pos_h", at::zeros({2 * side - 1, head_dim}));
  rel_pos_w = register_parameter("rel_pos_w", at::zeros({2 * side - 1, head_dim}));
}

at::Tensor ImageAttentionImpl::forward(const at::Tensor& x) {
  const std::int64_t batch = x.size(0), channels = x.size(3);
  const std::int64_t head_dim = channels / num_heads_, tokens = side_ * side_;
  const std::int64_t items = batch * num_heads_;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));

  // [3, B * heads, side, side, d]
  const at::Tensor split = qkv(x)
                               .view({batch, tokens, 3, num_heads_, head_dim})
                               .permute({2, 0, 3, 1, 4})
                               .reshape({3, items, side_, side_, head_dim});
  const at::Tensor q = split[0];
  const at::Tensor k = split[1].reshape({items, tokens, head_dim});
  const at::Tensor v = split[2].reshape({items, tokens, head_dim});
  const at::Tensor k_t = k.transpose(1, 2);
  const at::Tensor table_h = RelativeTable(rel_pos_h, side_).transpose(1, 2);  // [query, d, key]
  const at::Tensor table_w = RelativeTable(rel_pos_w, side_).transpose(1, 2);

  // The bias uses the unscaled q: bias_h[b, y, x, key row], bias_w[b, y, x, key column].
  const at::Tensor bias_h = at::matmul(q, table_h);
  const at::Tensor bias_w = at::matmul(q.transpose(1, 2), table_w).transpose(1, 2);
  const at::Tensor scaled_q = q * scale;

  const auto attend = [&](std::int64_t item, std::int64_t item_end, std::int64_t row,
                          std::int64_t row_end) {
    const auto part = [&](const at::Tensor& t) {
      return t.slice(0, item, item_end).slice(1, row, row_end);
    };
    const std::int64_t n = item_end - item, queries = (row_end - row) * side_;
    at::Tensor scores =
        at::bmm(part(scaled_q).reshape({n, queries, head_dim}), k_t.slice(0, item, item_end))
            .view({n, row_end - row, side_, side_, side_});
    scores = scores.add_(part(bias_h).unsqueeze(4)).add_(part(bias_w).unsqueeze(3));
    return at::bmm(at::softmax(scores.view({n, queries, tokens}), -1), v.slice(0, item, item_end))
        .view({n, row_end - row, side_, head_dim});
  };

  at::Tensor out;
  if (at::GradMode::is_enabled() || items * tokens * tokens <= kMaxScores) {
    out = attend(0, items, 0, side_);
  } else {
    out = at::empty({items, side_, side_, head_dim}, q.options());
    const std::int64_t step = std::clamp<std::int64_t>(kMaxScores / (tokens * tokens), 1, items);
    const std::int64_t row_step =
        std::clamp<std::int64_t>(kMaxScores / (step * side_ * tokens), 1, side_);
    for (std::int64_t i = 0; i < items; i += step) {
      const std::int64_t i_end = std::min(items, i + step);
      for (std::int64_t r = 0; r < side_; r += row_step) {
        const std::int64_t r_end = std::min(side_, r + row_step);
        out.slice(0, i, i_end).slice(1, r, r_end).copy_(attend(i, i_end, r, r_end));
      }
    }
  }
  return proj(out.view({batch, num_heads_, side_, side_, head_dim})
                  .permute({0, 2, 3, 1, 4})
                  .reshape({batch, side_, side_, channels}));
}

ImageBlockImpl::ImageBlockImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t mlp_dim,
                               std::int64_t window_size, std::int64_t grid)
    : window_size_(window_size) {
  norm1 = register_module("norm1", EncoderNorm(dim));
  attn = register_module("attn",
                         ImageAttention(dim, num_heads, window_size == 0 ? grid : window_size));
  norm2 = register_module("norm2", EncoderNorm(dim));
  mlp = register_module("mlp", MlpBlock(dim, mlp_dim, MlpBlockImpl::Activation::kGelu));
}

at::Tensor ImageBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor normed = norm1(x);
  const at::Tensor attended =
      window_size_ == 0 ? attn(normed)
                        : JoinWindows(attn(PartitionWindows(normed, window_size_)), x.size(1));
  const at::Tensor sum = x + attended;
  return sum + mlp(norm2(sum));
}

PatchEmbedImpl::PatchEmbedImpl(std::int64_t patch_size, std::int64_t embed_dim) {
  proj = register_module("proj", nn::Conv2d(nn::Conv2dOptions{.in_channels = 3,
                                                              .out_channels = embed_dim,
                                                              .kernel_size = patch_size,
                                                              .stride = patch_size}));
}

at::Tensor PatchEmbedImpl::forward(const at::Tensor& x) { return proj(x).permute({0, 2, 3, 1}); }

NeckImpl::NeckImpl(std::int64_t in_channels, std::int64_t out_channels) {
  conv1 = register_module(
      "0", nn::Conv2d(nn::Conv2dOptions{
               .in_channels = in_channels, .out_channels = out_channels, .bias = false}));
  norm1 = register_module("1", nn::LayerNorm2d(out_channels));
  conv2 = register_module("2", nn::Conv2d(nn::Conv2dOptions{.in_channels = out_channels,
                                                            .out_channels = out_channels,
                                                            .kernel_size = 3,
                                                            .padding = 1,
                                                            .bias = false}));
  norm2 = register_module("3", nn::LayerNorm2d(out_channels));
}

at::Tensor NeckImpl::forward(const at::Tensor& x) { return norm2(conv2(norm1(conv1(x)))); }

ImageEncoderViTImpl::ImageEncoderViTImpl(const ImageEncoderConfig& config,
                                         std::int64_t out_channels) {
  const std::int64_t dim = config.embed_dim, grid = config.grid();
  patch_embed = register_module("patch_embed", PatchEmbed(config.patch_size, dim));
  pos_embed = register_parameter("pos_embed", at::zeros({1, grid, grid, dim}));
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (const std::int64_t window : config.window_sizes) {
    blocks->push_back(ImageBlock(dim, config.num_heads, config.mlp_dim, window, grid));
  }
  neck = register_module("neck", Neck(dim, out_channels));
  const auto& windows = config.window_sizes;
  first_global_ = std::find(windows.begin(), windows.end(), 0) - windows.begin();
}

at::Tensor ImageEncoderViTImpl::Begin(const at::Tensor& input) {
  return patch_embed(input) + pos_embed;
}

at::Tensor ImageEncoderViTImpl::Step(std::int64_t index, const at::Tensor& tokens,
                                     std::vector<at::Tensor>* levels, const Pause&) {
  const at::Tensor out = Block(index, tokens);
  KeepLevel(index, out, levels);
  return out;
}

void ImageEncoderViTImpl::KeepLevel(std::int64_t index, const at::Tensor& tokens,
                                    std::vector<at::Tensor>* levels) const {
  if (levels == nullptr || index != first_global_) return;
  levels->push_back(tokens.permute({0, 3, 1, 2}).contiguous());
}

EncodedImage ImageEncoderViTImpl::Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) {
  return {neck(tokens.permute({0, 3, 1, 2})).contiguous(), std::move(levels)};
}

at::Tensor ImageEncoderViTImpl::Block(std::int64_t index, const at::Tensor& tokens) {
  return blocks->at<ImageBlockImpl>(static_cast<std::size_t>(index)).forward(tokens);
}

at::Tensor ImageEncoderViTImpl::forward(const at::Tensor& x) {
  at::Tensor tokens = Begin(x);
  for (std::int64_t i = 0; i < step_count(); ++i) tokens = Block(i, tokens);
  return Finish(tokens, {}).embedding;
}

}  // namespace segmenter
