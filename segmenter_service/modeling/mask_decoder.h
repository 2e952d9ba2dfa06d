// The mask decoder (segment_anything/modeling/mask_decoder.py): image embedding and prompt in,
// low-res mask logits and an estimate of each mask's IoU out. Milliseconds where the encoder takes
// seconds.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "nn/layers.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/prompted_config.h"
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
  // `high_res`: maps to be added after the second and the first step, [1 or B, C / 8, 4 H, 4 W] and
  // [1 or B, C / 4, 2 H, 2 W] (SAM 2), or none.
  at::Tensor forward(const at::Tensor& x, const std::vector<at::Tensor>& high_res = {});

  nn::ConvTranspose2d conv1{nullptr}, conv2{nullptr};
  nn::LayerNorm2d norm{nullptr};
};
TORCH_MODULE(OutputUpscaling);

// One row a prompt, one column a mask; MaskDecoder::Select chooses the ones to return. Column 0 is
// for unambiguous prompts, the next ones are for `multimask_output`, from part to whole.
struct DecodedMasks {
  at::Tensor logits;           // [B, masks, 4 * grid, 4 * grid]; the mask is where > 0
  at::Tensor iou_predictions;  // [B, mask tokens]; may exceed 1
};

// SAM's decoder. Those of HQ-SAM and SAM 2 override parts of it: mask_decoder_hq.h,
// sam2_mask_decoder.h.
class MaskDecoderImpl : public torch::nn::Module {
 public:
  MaskDecoderImpl(const MaskDecoderConfig& decoder_config, std::int64_t dim);

  // image_embeddings [1 or B, C, grid, grid], image_positions [1, C, grid, grid],
  // sparse [B, N, C] (N may be 0), dense [1 or B, C, 1 or grid, 1 or grid]; `high_res` as
  // HighResFeatures gave it.
  DecodedMasks forward(const at::Tensor& image_embeddings, const at::Tensor& image_positions,
                       const at::Tensor& sparse, const at::Tensor& dense,
                       const std::vector<at::Tensor>& high_res = {});

  // Maps that all prompts on an image share, to be computed once for each image. SAM has none.
  virtual std::vector<at::Tensor> HighResFeatures(const EncodedImage& image);
  // Whether HighResFeatures looks at EncodedImage::levels.
  virtual bool reads_levels() const { return false; }

  // The masks that upstream returns, [B, masks, ...].
  virtual DecodedMasks Select(const DecodedMasks& masks, bool multimask_output) const;

  // Steps of forward, for its packed form.
  // The learned tokens, [n, C]: among them the IoU token, with the mask tokens right behind it.
  virtual at::Tensor OwnTokens() const;
  virtual std::int64_t iou_index() const { return 0; }
  // The final masks, from `masks` that were made of the transformer's tokens [B, n + N, C] and the
  // upscaled image embedding [B, C / 8, 4 grid, 4 grid]. SAM returns them as they are, SAM 2 reads
  // only `masks`, HQ-SAM all.
  virtual DecodedMasks Refine(const DecodedMasks& masks, const at::Tensor& tokens,
                              const at::Tensor& upscaled, const std::vector<at::Tensor>& high_res);

  const MaskDecoderConfig config;
  TwoWayTransformer transformer{nullptr};
  nn::Embedding iou_token{nullptr}, mask_tokens{nullptr};
  OutputUpscaling output_upscaling{nullptr};
  torch::nn::ModuleList output_hypernetworks_mlps{nullptr};
  Mlp iou_prediction_head{nullptr};

 protected:
  virtual at::Tensor Upscale(const at::Tensor& image, const std::vector<at::Tensor>& high_res);
};
TORCH_MODULE(MaskDecoder);

// The decoder of `config.kind`.
MaskDecoder MakeMaskDecoder(const MaskDecoderConfig& config, std::int64_t dim);

// Logits [B, n, H, W] of the masks that the vectors `weights` [B, n, C] make of `image` [B, C, H,
// W].
at::Tensor MasksOf(const at::Tensor& weights, const at::Tensor& image);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_H_
