#include "trainer/segmenter/prompted_decoder.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <cstddef>
#include <utility>

namespace trainer {

std::vector<at::Tensor> MapsOf(const segmenter::Embedding& embedding) {
  std::vector<at::Tensor> maps;
  for (const segmenter::FeatureMap& map : embedding.maps) {
    const segmenter::FeatureShape& shape = map.shape;
    const bool full = shape.precision == segmenter::FeaturePrecision::kFloat32;
    // Only read from; Torch has no const tensors.
    maps.push_back(at::from_blob(const_cast<std::byte*>(map.data.data()),
                                 {1, shape.channels, shape.height, shape.width},
                                 full ? at::kFloat : at::kBFloat16)
                       .to(at::kFloat));
  }
  return maps;
}

PromptedDecoder::PromptedDecoder(segmenter::PromptEncoder prompt_encoder,
                                 segmenter::MaskDecoder mask_decoder, bool pads_boxes,
                                 float logit_limit)
    : prompt_encoder_(register_module("prompt_encoder", std::move(prompt_encoder))),
      mask_decoder_(register_module("mask_decoder", std::move(mask_decoder))),
      pads_boxes_(pads_boxes),
      logit_limit_(logit_limit) {
  const at::NoGradGuard no_grad;
  positions_ = prompt_encoder_->DensePositions();
  for (auto& item : mask_decoder_->named_parameters()) {
    if (item.key().starts_with("conv_s")) item.value().set_requires_grad(false);
  }
}

segmenter::DecodedMasks PromptedDecoder::Decode(const std::vector<at::Tensor>& maps,
                                                std::span<const segmenter::Prompt> prompts,
                                                const at::Tensor& earlier) {
  const at::Tensor dense =
      earlier.defined()
          ? prompt_encoder_->EmbedMasks(at::clamp(earlier, -logit_limit_, logit_limit_))
          : prompt_encoder_->NoMask();
  const std::vector<at::Tensor> high_res(maps.begin() + 1, maps.end());
  return mask_decoder_->forward(maps[0], positions_, Sparse(prompts), dense, high_res);
}

at::Tensor PromptedDecoder::Sparse(std::span<const segmenter::Prompt> prompts) {
  const auto count = static_cast<std::int64_t>(prompts.size());
  const auto points = static_cast<std::int64_t>(prompts[0].points.size());
  const bool boxes = prompts[0].box.has_value();
  const bool pad = boxes ? pads_boxes_ : points > 0;
  std::vector<at::Tensor> tokens;
  if (points > 0 || pad) {
    std::vector<float> coords;
    std::vector<std::int64_t> labels;
    for (const segmenter::Prompt& prompt : prompts) {
      for (const segmenter::PromptPoint& point : prompt.points) {
        coords.insert(coords.end(), {point.at.x, point.at.y});
        labels.push_back(point.label);
      }
    }
    tokens.push_back(
        prompt_encoder_->EmbedPoints(at::tensor(coords, at::kFloat).view({count, points, 2}),
                                     at::tensor(labels, at::kLong).view({count, points}), pad));
  }
  if (boxes) {
    std::vector<float> corners;
    for (const segmenter::Prompt& prompt : prompts) {
      const vision::Box& box = *prompt.box;
      corners.insert(corners.end(), {box.x_min, box.y_min, box.x_max, box.y_max});
    }
    tokens.push_back(prompt_encoder_->EmbedBoxes(at::tensor(corners, at::kFloat).view({count, 4})));
  }
  return at::cat(tokens, 1);
}

}  // namespace trainer
