// TinyViT, MobileSAM's image encoder (mobile_sam/modeling/tiny_vit_sam.py): convolutions at high
// resolution, then three stages of windowed attention, each with a depthwise convolution that
// carries information across windows.
//
// Steps: one a block or downsampling, on maps [B, C, H, W]. Its one level is the second stage's
// output, which HQ-SAM's decoder reads.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_SAM_H_
#define DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_SAM_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <variant>
#include <vector>

#include "nn/layers.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/image_encoder.h"
#include "segmenter_service/modeling/tiny_vit_config.h"

namespace segmenter {

// Convolution without bias ("c"), then batch norm ("bn"): Conv2d_BN.
class ConvNormImpl : public torch::nn::Module {
 public:
  // Padding keeps the size, up to the stride. `groups` 1 or, depthwise, the number of channels.
  ConvNormImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
               std::int64_t groups = 1);
  at::Tensor forward(const at::Tensor& x);

  nn::Conv2d c{nullptr};
  nn::BatchNorm2d bn{nullptr};
};
TORCH_MODULE(ConvNorm);

// Key "patch_embed": two convolutions of stride 2. Children are named as in its nn.Sequential
// "seq".
class TinyPatchEmbedImpl : public torch::nn::Module {
 public:
  explicit TinyPatchEmbedImpl(std::int64_t embed_dim);
  at::Tensor forward(const at::Tensor& x);  // [B, 3, S, S] to [B, C, S / 4, S / 4]

  ConvNorm conv1{nullptr}, conv2{nullptr};
};
TORCH_MODULE(TinyPatchEmbed);

// Three convolutions, keys "conv1" to "conv3": 1x1, depthwise 3x3 and 1x1, with GELU between them.
class ConvTripleImpl : public torch::nn::Module {
 public:
  // `stride`: of the depthwise convolution.
  ConvTripleImpl(std::int64_t in, std::int64_t hidden, std::int64_t out, std::int64_t stride);

  ConvNorm conv1{nullptr}, conv2{nullptr}, conv3{nullptr};

 protected:
  at::Tensor Convolve(const at::Tensor& x);
};

// Keeps the size; its input is added to the result, and GELU applied once more.
class MbConvImpl : public ConvTripleImpl {
 public:
  MbConvImpl(std::int64_t dim, std::int64_t hidden) : ConvTripleImpl(dim, hidden, dim, 1) {}
  at::Tensor forward(const at::Tensor& x);
};
TORCH_MODULE(MbConv);

// Key "downsample".
class PatchMergingImpl : public ConvTripleImpl {
 public:
  PatchMergingImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : ConvTripleImpl(in, out, out, stride) {}
  at::Tensor forward(const at::Tensor& x) { return Convolve(x); }
};
TORCH_MODULE(PatchMerging);

// Attention within one window, with a learned bias for each distance.
class TinyAttentionImpl : public torch::nn::Module {
 public:
  TinyAttentionImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t window);
  at::Tensor forward(const at::Tensor& x);  // [windows, window^2, C] to the same

  // The bias of every query and key, [heads, window^2, window^2].
  at::Tensor BiasTable() const;

  nn::LayerNorm norm{nullptr};
  nn::Linear qkv{nullptr}, proj{nullptr};
  at::Tensor attention_biases;  // [heads, window^2], by |dy| * window + |dx|

 private:
  const std::int64_t num_heads_, window_;
};
TORCH_MODULE(TinyAttention);

class TinyMlpImpl : public torch::nn::Module {
 public:
  TinyMlpImpl(std::int64_t dim, std::int64_t hidden);
  at::Tensor forward(const at::Tensor& x);

  nn::LayerNorm norm{nullptr};
  nn::Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(TinyMlp);

class TinyViTBlockImpl : public torch::nn::Module {
 public:
  TinyViTBlockImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t window,
                   std::int64_t mlp_dim);
  at::Tensor forward(const at::Tensor& x);  // [B, C, H, W] to the same

  TinyAttention attn{nullptr};
  TinyMlp mlp{nullptr};
  ConvNorm local_conv{nullptr};

 private:
  const std::int64_t window_;
};
TORCH_MODULE(TinyViTBlock);

// One of "layers": blocks of one kind, then, except in the last, a downsampling.
class TinyLayerImpl : public torch::nn::Module {
 public:
  TinyLayerImpl(const TinyViTConfig& config, std::size_t index);

  torch::nn::ModuleList blocks{nullptr};
  PatchMerging downsample{nullptr};
};
TORCH_MODULE(TinyLayer);

class TinyViTImpl : public torch::nn::Module, public EncoderSteps {
 public:
  TinyViTImpl(const TinyViTConfig& config, std::int64_t out_channels);

  std::int64_t step_count() const override { return static_cast<std::int64_t>(steps_.size()); }
  at::Tensor Begin(const at::Tensor& input) override;
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override;
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override;

  // The module of step `index`, and whether its output is the level that is kept.
  using Part = std::variant<MbConv, TinyViTBlock, PatchMerging>;
  const Part& part(std::int64_t index) const { return steps_[static_cast<std::size_t>(index)]; }
  bool IsLevel(std::int64_t index) const { return index == level_step_; }

  TinyPatchEmbed patch_embed{nullptr};
  torch::nn::ModuleList layers{nullptr};
  Neck neck{nullptr};

 private:
  std::vector<Part> steps_;
  std::int64_t level_step_ = -1;
};
TORCH_MODULE(TinyViT);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_TINY_VIT_SAM_H_
