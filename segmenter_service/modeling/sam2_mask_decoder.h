// SAM 2's mask decoder (sam2/modeling/sam/mask_decoder.py): SAM's, with a token for the object
// score in front (which only videos use), high-resolution features of the encoder added while
// upscaling, and IoU predictions within 0..1.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM2_MASK_DECODER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM2_MASK_DECODER_H_

#include "nn/layers.h"
#include "segmenter_service/modeling/mask_decoder.h"

namespace segmenter {

class Sam2MaskDecoderImpl : public MaskDecoderImpl {
 public:
  Sam2MaskDecoderImpl(const MaskDecoderConfig& config, std::int64_t dim);

  // Two maps, [1, C / 8, 4 grid, 4 grid] and [1, C / 4, 2 grid, 2 grid].
  std::vector<at::Tensor> HighResFeatures(const EncodedImage& image) override;
  bool reads_levels() const override { return true; }

  // Without multimask_output: mask 0 if it is stable, else the one of the others whose predicted
  // IoU is best.
  DecodedMasks Select(const DecodedMasks& masks, bool multimask_output) const override;
  at::Tensor OwnTokens() const override;
  std::int64_t iou_index() const override { return 1; }
  DecodedMasks Refine(const DecodedMasks& masks, const at::Tensor& tokens,
                      const at::Tensor& upscaled, const std::vector<at::Tensor>& high_res) override;

  nn::Embedding obj_score_token{nullptr};
  nn::Conv2d conv_s0{nullptr}, conv_s1{nullptr};

 protected:
  at::Tensor Upscale(const at::Tensor& image, const std::vector<at::Tensor>& high_res) override;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM2_MASK_DECODER_H_
