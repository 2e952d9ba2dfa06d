// SAM 2 for images (sam2/modeling/sam2_base.py and backbones/image_encoder.py): no video memory.
// Keys are upstream's; those of the memory are not here (Sam2Impl::UnusedPrefixes).
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM2_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM2_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "nn/layers.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/hieradet.h"
#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/modeling/prompt_encoder.h"
#include "segmenter_service/modeling/sam2_config.h"

namespace segmenter {

// Key "neck": brings all levels to one width, and the coarsest into the one before.
class FpnNeckImpl : public torch::nn::Module {
 public:
  FpnNeckImpl(const HieraConfig& config, std::int64_t dim);
  // Levels [B, C', H, W], finest first, to as many of width `dim`.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& levels);

  std::vector<nn::Conv2d> convs;  // keys "convs.0.conv" (the coarsest level's), "convs.1.conv", ...
};
TORCH_MODULE(FpnNeck);

// Steps: one a block of the trunk, on tokens [B, grid, grid, C].
class Sam2Impl : public torch::nn::Module, public EncoderSteps {
 public:
  explicit Sam2Impl(const Sam2Config& config);

  // Keys that only videos need, and those of the object score's head, which images don't use.
  static std::vector<std::string> UnusedPrefixes();

  std::int64_t step_count() const override { return trunk->depth(); }
  at::Tensor Begin(const at::Tensor& input) override { return trunk->Begin(input); }
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override;
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override;

  const Sam2Config config;
  Hiera trunk{nullptr};  // key "image_encoder.trunk"
  FpnNeck neck{nullptr};
  at::Tensor no_mem_embed;  // [1, 1, C]: "no earlier frame"
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};
};
TORCH_MODULE(Sam2);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM2_H_
