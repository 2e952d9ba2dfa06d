#include "segmenter_service/modeling/tiny_vit_sam.h"

#include <ATen/Functions.h>

#include <cmath>
#include <utility>

#include "segmenter_service/modeling/windows.h"

namespace segmenter {

ConvNormImpl::ConvNormImpl(std::int64_t in, std::int64_t out, std::int64_t kernel,
                           std::int64_t stride, std::int64_t groups) {
  c = register_module("c", nn::Conv2d(nn::Conv2dOptions{.in_channels = in,
                                                        .out_channels = out,
                                                        .kernel_size = kernel,
                                                        .stride = stride,
                                                        .padding = kernel / 2,
                                                        .groups = groups,
                                                        .bias = false}));
  bn = register_module("bn", nn::BatchNorm2d(out));
}

at::Tensor ConvNormImpl::forward(const at::Tensor& x) { return bn(c(x)); }

TinyPatchEmbedImpl::TinyPatchEmbedImpl(std::int64_t embed_dim) {
  auto seq = register_module("seq", std::make_shared<torch::nn::Module>());
  conv1 = seq->register_module("0", ConvNorm(3, embed_dim / 2, 3, /*stride=*/2));
  conv2 = seq->register_module("2", ConvNorm(embed_dim / 2, embed_dim, 3, /*stride=*/2));
}

at::Tensor TinyPatchEmbedImpl::forward(const at::Tensor& x) { return conv2(at::gelu(conv1(x))); }

ConvTripleImpl::ConvTripleImpl(std::int64_t in, std::int64_t hidden, std::int64_t out,
                               std::int64_t stride) {
  conv1 = register_module("conv1", ConvNorm(in, hidden, 1));
  conv2 = register_module("conv2", ConvNorm(hidden, hidden, 3, stride, /*groups=*/hidden));
  conv3 = register_module("conv3", ConvNorm(hidden, out, 1));
}

at::Tensor ConvTripleImpl::Convolve(const at::Tensor& x) {
  return conv3(at::gelu(conv2(at::gelu(conv1(x)))));
}

at::Tensor MbConvImpl::forward(const at::Tensor& x) { return at::gelu(x + Convolve(x)); }

TinyAttentionImpl::TinyAttentionImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t window)
    : num_heads_(num_heads), window_(window) {
  norm = register_module("norm", nn::LayerNorm(dim));
  qkv = register_module("qkv", nn::Linear(dim, 3 * dim));
  proj = register_module("proj", nn::Linear(dim, dim));
  attention_biases =
      register_parameter("attention_biases", at::zeros({num_heads, window * window}));
}

at::Tensor TinyAttentionImpl::BiasTable() const {
  const at::Tensor position = at::arange(window_, attention_biases.options().dtype(at::kLong));
  const at::Tensor distance = (position.unsqueeze(0) - position.unsqueeze(1)).abs();
  // [y, x, key y, key x]
  const at::Tensor index =
      distance.view({window_, 1, window_, 1}) * window_ + distance.view({1, window_, 1, window_});
  const std::int64_t tokens = window_ * window_;
  return attention_biases.index_select(1, index.flatten()).view({num_heads_, tokens, tokens});
}

at::Tensor TinyAttentionImpl::forward(const at::Tensor& x) {
  const std::int64_t windows = x.size(0), tokens = x.size(1), dim = x.size(2);
  const std::int64_t head_dim = dim / num_heads_;
  // Each head's query, key and value lie side by side, unlike in SAM's ViT.
  const auto parts = qkv(norm(x))
                         .view({windows, tokens, num_heads_, 3 * head_dim})
                         .transpose(1, 2)
                         .split(head_dim, 3);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor scores = at::matmul(parts[0], parts[1].transpose(2, 3)) * scale + BiasTable();
  return proj(at::matmul(at::softmax(scores, -1), parts[2])
                  .transpose(1, 2)
                  .reshape({windows, tokens, dim}));
}

TinyMlpImpl::TinyMlpImpl(std::int64_t dim, std::int64_t hidden) {
  norm = register_module("norm", nn::LayerNorm(dim));
  fc1 = register_module("fc1", nn::Linear(dim, hidden));
  fc2 = register_module("fc2", nn::Linear(hidden, dim));
}

at::Tensor TinyMlpImpl::forward(const at::Tensor& x) { return fc2(at::gelu(fc1(norm(x)))); }

TinyViTBlockImpl::TinyViTBlockImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t window,
                                   std::int64_t mlp_dim)
    : window_(window) {
  attn = register_module("attn", TinyAttention(dim, num_heads, window));
  mlp = register_module("mlp", TinyMlp(dim, mlp_dim));
  local_conv = register_module("local_conv", ConvNorm(dim, dim, 3, /*stride=*/1, /*groups=*/dim));
}

at::Tensor TinyViTBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor tokens = x.permute({0, 2, 3, 1});
  const at::Tensor windows = PartitionWindows(tokens.contiguous(), window_);
  const at::Tensor attended = attn(windows.flatten(1, 2)).view(windows.sizes());
  const at::Tensor sum = tokens + JoinWindows(attended, tokens.size(1));
  const at::Tensor filtered = local_conv(sum.permute({0, 3, 1, 2})).permute({0, 2, 3, 1});
  return (filtered + mlp(filtered)).permute({0, 3, 1, 2}).contiguous();
}

TinyLayerImpl::TinyLayerImpl(const TinyViTConfig& config, std::size_t index) {
  const TinyViTConfig::Layer& layer = config.layers[index];
  blocks = register_module("blocks", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < layer.depth; ++i) {
    if (index == 0) {
      blocks->push_back(MbConv(layer.dim, layer.hidden));
    } else {
      blocks->push_back(TinyViTBlock(layer.dim, layer.num_heads, layer.window, layer.hidden));
    }
  }
  if (index + 1 < config.layers.size()) {
    downsample = register_module(
        "downsample", PatchMerging(layer.dim, config.layers[index + 1].dim, layer.stride));
  }
}

TinyViTImpl::TinyViTImpl(const TinyViTConfig& config, std::int64_t out_channels) {
  patch_embed = register_module("patch_embed", TinyPatchEmbed(config.layers[0].dim));
  layers = register_module("layers", torch::nn::ModuleList());
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    TinyLayer layer(config, i);
    layers->push_back(layer);
    for (const auto& block : *layer->blocks) {
      if (i == 0) {
        steps_.emplace_back(MbConv(std::dynamic_pointer_cast<MbConvImpl>(block)));
      } else {
        steps_.emplace_back(TinyViTBlock(std::dynamic_pointer_cast<TinyViTBlockImpl>(block)));
      }
    }
    if (layer->downsample) steps_.emplace_back(layer->downsample);
    if (i == 1) level_step_ = step_count() - 1;
  }
  neck = register_module("neck", Neck(config.layers.back().dim, out_channels));
}

at::Tensor TinyViTImpl::Begin(const at::Tensor& input) { return patch_embed(input); }

at::Tensor TinyViTImpl::Step(std::int64_t index, const at::Tensor& tokens,
                             std::vector<at::Tensor>* levels, const Pause&) {
  Part& part = steps_[static_cast<std::size_t>(index)];
  at::Tensor out = std::visit([&](auto& module) { return module(tokens); }, part);
  if (levels != nullptr && IsLevel(index)) levels->push_back(out);
  return out;
}

EncodedImage TinyViTImpl::Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) {
  return {neck(tokens).contiguous(), std::move(levels)};
}

}  // namespace segmenter
