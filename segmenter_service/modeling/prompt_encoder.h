// The prompt encoder turns points, boxes and earlier masks into what the mask decoder reads
// (segment_anything/modeling/prompt_encoder.py): "sparse" tokens, one a point or box corner, and a
// "dense" map that is added to the image embedding.
//
// Coordinates are (x, y) in pixels of the resized, padded input: [0, image_size]. The half pixel is
// added in here.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_PROMPT_ENCODER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_PROMPT_ENCODER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "nn/layers.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Key "pe_layer": positions as sines and cosines of random frequencies, which are part of the
// checkpoint.
class PositionEmbeddingRandomImpl : public torch::nn::Module {
 public:
  explicit PositionEmbeddingRandomImpl(std::int64_t num_frequencies);
  at::Tensor forward(
      const at::Tensor& unit_coords);  // [..., 2] in [0, 1] to [..., 2 * frequencies]

  at::Tensor positional_encoding_gaussian_matrix;  // buffer, [2, frequencies]
};
TORCH_MODULE(PositionEmbeddingRandom);

// Key "mask_downscaling": logits of an earlier answer to a dense embedding, a quarter of the side.
class MaskDownscalingImpl : public torch::nn::Module {
 public:
  MaskDownscalingImpl(std::int64_t mask_in_chans, std::int64_t embed_dim);
  at::Tensor forward(const at::Tensor& masks);

  nn::Conv2d conv1{nullptr}, conv2{nullptr}, conv3{nullptr};
  nn::LayerNorm2d norm1{nullptr}, norm2{nullptr};
};
TORCH_MODULE(MaskDownscaling);

class PromptEncoderImpl : public torch::nn::Module {
 public:
  PromptEncoderImpl(const PromptEncoderConfig& config, std::int64_t embed_dim,
                    std::int64_t image_size, std::int64_t grid);

  // coords [B, N, 2] float, labels [B, N] int64 (1 foreground, 0 background, -1 not a point) to [B,
  // N, C]. Points without a box need one more, labelled -1, at the end: `pad` adds it.
  at::Tensor EmbedPoints(const at::Tensor& coords, const at::Tensor& labels, bool pad);
  // [B, 4] as (x_min, y_min, x_max, y_max) to [B, 2, C]. Goes after the points' tokens.
  at::Tensor EmbedBoxes(const at::Tensor& boxes);
  // Logits [B, 1, 4 * grid, 4 * grid] to [B, C, grid, grid].
  at::Tensor EmbedMasks(const at::Tensor& masks);
  // What stands for "no mask": [1, C, 1, 1], to be broadcast.
  at::Tensor NoMask();
  // Positions of the embedding's cells, [1, C, grid, grid]; the same for all images.
  at::Tensor DensePositions();

  PositionEmbeddingRandom pe_layer{nullptr};
  torch::nn::ModuleList point_embeddings{nullptr};  // background, foreground, two box corners
  nn::Embedding not_a_point_embed{nullptr}, no_mask_embed{nullptr};
  MaskDownscaling mask_downscaling{nullptr};

 private:
  at::Tensor PositionsOf(const at::Tensor& coords);
  const at::Tensor& PointEmbedding(std::size_t index);

  const std::int64_t image_size_;
  const std::int64_t grid_;
};
TORCH_MODULE(PromptEncoder);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_PROMPT_ENCODER_H_
