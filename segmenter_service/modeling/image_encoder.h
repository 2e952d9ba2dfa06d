// The image encoder: a vision transformer that turns the padded image into an embedding, once an
// image (segment_anything/modeling/image_encoder.py). Most blocks attend within windows, a few over
// the whole image.
//
// These are the plain modules: source of truth, trainable, any device. Tokens travel as [B, H, W,
// C].
#ifndef DUET_SEGMENTER_SERVICE_MODELING_IMAGE_ENCODER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_IMAGE_ENCODER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "nn/layers.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/mlp_block.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Multi-head attention over a grid of tokens, with a learned bias for each relative row and column.
class ImageAttentionImpl : public torch::nn::Module {
 public:
  // `side`: the grid's side (a window's, or the image's), to which the bias tables are made.
  ImageAttentionImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t side);
  // [B, side, side, C] to the same. Without autograd, scores exist for a few heads and rows at a
  // time only.
  at::Tensor forward(const at::Tensor& x);

  nn::Linear qkv{nullptr}, proj{nullptr};
  at::Tensor rel_pos_h, rel_pos_w;  // [2 * side - 1, C / num_heads]

 private:
  const std::int64_t num_heads_;
  const std::int64_t side_;
};
TORCH_MODULE(ImageAttention);

class ImageBlockImpl : public torch::nn::Module {
 public:
  // `window_size` 0: attends over the whole `grid` x `grid` image.
  ImageBlockImpl(std::int64_t dim, std::int64_t num_heads, std::int64_t mlp_dim,
                 std::int64_t window_size, std::int64_t grid);
  at::Tensor forward(const at::Tensor& x);  // [B, grid, grid, C]

  nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  ImageAttention attn{nullptr};
  MlpBlock mlp{nullptr};

 private:
  const std::int64_t window_size_;
};
TORCH_MODULE(ImageBlock);

// Key "patch_embed": cuts the image into patches and projects each.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  PatchEmbedImpl(std::int64_t patch_size, std::int64_t embed_dim);
  at::Tensor forward(const at::Tensor& x);  // [B, 3, S, S] to [B, S / patch, S / patch, C]

  nn::Conv2d proj{nullptr};
};
TORCH_MODULE(PatchEmbed);

// Key "neck": brings tokens to the decoder's width. Children are named as in upstream's
// nn.Sequential.
class NeckImpl : public torch::nn::Module {
 public:
  NeckImpl(std::int64_t in_channels, std::int64_t out_channels);
  at::Tensor forward(const at::Tensor& x);  // [B, C, H, W] to [B, out_channels, H, W]

  nn::Conv2d conv1{nullptr}, conv2{nullptr};
  nn::LayerNorm2d norm1{nullptr}, norm2{nullptr};
};
TORCH_MODULE(Neck);

// Steps: one a block, on tokens [B, grid, grid, C]. Its one level is the output of the first block
// that attends globally, which HQ-SAM's decoder reads.
class ImageEncoderViTImpl : public torch::nn::Module, public EncoderSteps {
 public:
  ImageEncoderViTImpl(const ImageEncoderConfig& config, std::int64_t out_channels);

  // [B, 3, image_size, image_size], normalised and padded, to [B, out_channels, grid, grid].
  at::Tensor forward(const at::Tensor& x);

  std::int64_t step_count() const override { return static_cast<std::int64_t>(blocks->size()); }
  at::Tensor Begin(const at::Tensor& input) override;
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override;
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override;

  // Step's two parts, for packed forms, which compute the blocks in another way.
  at::Tensor Block(std::int64_t index, const at::Tensor& tokens);
  void KeepLevel(std::int64_t index, const at::Tensor& tokens,
                 std::vector<at::Tensor>* levels) const;

  PatchEmbed patch_embed{nullptr};
  at::Tensor pos_embed;  // [1, grid, grid, C]
  torch::nn::ModuleList blocks{nullptr};
  Neck neck{nullptr};

 private:
  std::int64_t first_global_ = 0;
};
TORCH_MODULE(ImageEncoderViT);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_IMAGE_ENCODER_H_
