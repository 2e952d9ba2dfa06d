#include "segmenter_service/packed/packed_vit.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "segmenter_service/packed/packed_blocks.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_neck.h"

namespace segmenter {
namespace {

using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;

// PatchEmbed and the positions: patches don't overlap, so the convolution is a product. A few rows
// of patches at a time.
template <typename T>
class PackedPatches {
 public:
  PackedPatches(const PatchEmbed& patches, const at::Tensor& positions,
                const ImageEncoderConfig& config, int threads)
      : grid_(config.grid()),
        side_(config.patch_size),
        inner_(3 * side_ * side_),
        rows_(DivisorUpTo(grid_, std::max<std::int64_t>(1, kTokens / grid_))),
        positions_(positions.detach().clone()),
        gathered_(rows_ * grid_ * inner_),
        proj_(MakeLinear<T>(
            patches->proj->weight.flatten(1), patches->proj->bias,
            {.rows = rows_ * grid_, .epilogue = Epilogue::kAddToOutput, .threads = threads})) {}

  // [1, 3, S, S] to [1, grid, grid, C].
  at::Tensor Run(const at::Tensor& image) {
    at::Tensor tokens = positions_.clone();
    const float* pixels = image.data_ptr<float>();
    const std::int64_t row_floats = grid_ * tokens.size(3);
    for (std::int64_t top = 0; top < grid_; top += rows_) {
      Gather(pixels, top);
      proj_->Run(gathered_.data(), tokens.data_ptr<float>() + top * row_floats);
    }
    return tokens;
  }

 private:
  static constexpr std::int64_t kTokens = 512;

  void Gather(const float* pixels, std::int64_t top) {
    const std::int64_t width = grid_ * side_;
#pragma omp parallel for schedule(static)
    for (std::int64_t token = 0; token < rows_ * grid_; ++token) {
      const std::int64_t y = (top + token / grid_) * side_, x = token % grid_ * side_;
      T* out = gathered_.data() + token * inner_;
      for (std::int64_t line = 0; line < 3 * side_; ++line) {
        const float* in = pixels + (line / side_ * width + y + line % side_) * width + x;
        for (std::int64_t i = 0; i < side_; ++i) nn::onednn::Store(in[i], out++);
      }
    }
  }

  const std::int64_t grid_, side_, inner_;
  const std::int64_t rows_;     // of patches at a time
  const at::Tensor positions_;  // [1, grid, grid, C]
  std::vector<T> gathered_;
  const std::unique_ptr<PackedLinear> proj_;
};

template <typename T>
class PackedViT final : public EncoderSteps {
 public:
  PackedViT(ImageEncoderViT encoder, const ImageEncoderConfig& config, int threads)
      : encoder_(std::move(encoder)),
        patches_(encoder_->patch_embed, encoder_->pos_embed, config, threads),
        blocks_(*encoder_, config, kPrecisionOf<T>, threads),
        neck_(encoder_->neck, config.grid(), kPrecisionOf<T>, threads) {}

  std::int64_t step_count() const override { return encoder_->step_count(); }
  at::Tensor Begin(const at::Tensor& input) override { return patches_.Run(input); }
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override {
    blocks_.Run(index, tokens.data_ptr<float>(), pause);
    encoder_->KeepLevel(index, tokens, levels);
    return tokens;
  }
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override {
    return {neck_.Run(tokens), std::move(levels)};
  }

 private:
  ImageEncoderViT encoder_;
  PackedPatches<T> patches_;
  PackedBlocks blocks_;
  PackedNeck neck_;
};

}  // namespace

std::shared_ptr<EncoderSteps> PackViT(ImageEncoderViT encoder, const ImageEncoderConfig& config,
                                      nn::onednn::Precision precision, int threads) {
  return nn::onednn::VisitType(
      precision, [&]<typename T>(std::type_identity<T>) -> std::shared_ptr<EncoderSteps> {
        return std::make_shared<PackedViT<T>>(std::move(encoder), config, threads);
      });
}

}  // namespace segmenter
