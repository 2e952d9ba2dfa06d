// The mask decoder (segment_anything/modeling/mask_decoder.py): image embedding and prompt in,
// low-res mask logits and an estimate of each mask's IoU out. Milliseconds where the encoder takes
// seconds.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "segmenter_service/modeling/layers.h"
#include "segmenter_service/modeling/sam_config.h"
#include "segmenter_service/modeling/transformer.h"

namespace segmenter {

// Linear layers with ReLU between them; keys "layers.0", "layers.1", ...
class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(std::int64_t in, std::int64_t hidden, std::int64_t out, std::int64_t depth);
  at::Tensor forward(at::Tensor x);

  torch::nn::ModuleList layers{nullptr};
};
TORCH_MODULE(Mlp);

// Key "output_upscaling": [B, C, H, W] to [B, C / 8, 4 H, 4 W].
class OutputUpscalingImpl : public torch::nn::Module {
 public:
  explicit OutputUpscalingImpl(std::int64_t dim);
  at::Tensor forward(const at::Tensor& x);

  torch::nn::ConvTranspose2d conv1{nullptr}, conv2{nullptr};
  LayerNorm2d norm{nullptr};
};
TORCH_MODULE(OutputUpscaling);

// One row a prompt, one column a mask token: column 0 is the answer to an unambiguous prompt,
// columns 1.. are the answers for `multimask_output`, from part to whole.
struct DecodedMasks {
  at::Tensor logits;           // [B, masks, 4 * grid, 4 * grid]; the mask is where > 0
  at::Tensor iou_predictions;  // [B, masks]; may exceed 1

  // The columns that upstream returns.
  DecodedMasks Select(bool multimask_output) const;
};

class MaskDecoderImpl : public torch::nn::Module {
 public:
  MaskDecoderImpl(const MaskDecoderConfig& config, std::int64_t dim);

  // image_embeddings [1 or B, C, grid, grid], image_positions [1, C, grid, grid],
  // sparse [B, N, C] (N may be 0), dense [1 or B, C, 1 or grid, 1 or grid].
  DecodedMasks forward(const at::Tensor& image_embeddings, const at::Tensor& image_positions,
                       const at::Tensor& sparse, const at::Tensor& dense);

  TwoWayTransformer transformer{nullptr};
  torch::nn::Embedding iou_token{nullptr}, mask_tokens{nullptr};
  OutputUpscaling output_upscaling{nullptr};
  torch::nn::ModuleList output_hypernetworks_mlps{nullptr};
  Mlp iou_prediction_head{nullptr};
};
TORCH_MODULE(MaskDecoder);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_
