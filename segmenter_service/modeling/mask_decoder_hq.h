// HQ-SAM's mask decoder (segment_anything_hq/modeling/mask_decoder_hq.py): SAM's, with one more
// token whose mask is drawn on finer features: the upscaled image, refined, plus a map made of the
// image embedding and of an early feature map of the encoder.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_HQ_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_HQ_H_

#include "nn/layers.h"
#include "segmenter_service/modeling/mask_decoder.h"

namespace segmenter {

// Keys "compress_vit_feat", "embedding_encoder": [B, C, H, W] to [B, out, 4 H, 4 W]. Children are
// named as in upstream's nn.Sequential.
class FeatureUpscalingImpl : public torch::nn::Module {
 public:
  FeatureUpscalingImpl(std::int64_t in, std::int64_t middle, std::int64_t out);
  at::Tensor forward(const at::Tensor& x);

  nn::ConvTranspose2d conv1{nullptr}, conv2{nullptr};
  nn::LayerNorm2d norm{nullptr};
};
TORCH_MODULE(FeatureUpscaling);

// Key "embedding_maskfeature": [B, C / 8, H, W] to the same.
class MaskFeatureImpl : public torch::nn::Module {
 public:
  explicit MaskFeatureImpl(std::int64_t dim);
  at::Tensor forward(const at::Tensor& x);

  nn::Conv2d conv1{nullptr}, conv2{nullptr};
  nn::LayerNorm2d norm{nullptr};
};
TORCH_MODULE(MaskFeature);

// DecodedMasks has one more mask than IoU predictions: the last one is the high-quality mask.
class MaskDecoderHqImpl : public MaskDecoderImpl {
 public:
  MaskDecoderHqImpl(const MaskDecoderConfig& config, std::int64_t dim);

  // One map, [1, C / 8, 4 grid, 4 grid].
  std::vector<at::Tensor> HighResFeatures(const EncodedImage& image) override;
  bool reads_levels() const override { return true; }

  // One answer either way: for multimask_output SAM's part of it is the one of the best predicted
  // IoU.
  DecodedMasks Select(const DecodedMasks& masks, bool multimask_output) const override;
  at::Tensor OwnTokens() const override;
  DecodedMasks Refine(const DecodedMasks& masks, const at::Tensor& tokens,
                      const at::Tensor& upscaled, const std::vector<at::Tensor>& high_res) override;

  // Refine, with embedding_maskfeature(upscaled) computed before.
  DecodedMasks RefineWith(const DecodedMasks& masks, const at::Tensor& tokens,
                          const at::Tensor& features, const std::vector<at::Tensor>& high_res);

  nn::Embedding hf_token{nullptr};
  Mlp hf_mlp{nullptr};
  FeatureUpscaling compress_vit_feat{nullptr}, embedding_encoder{nullptr};
  MaskFeature embedding_maskfeature{nullptr};
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MASK_DECODER_HQ_H_
