#include "segmenter_service/packed/packed_vit.h"

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "segmenter_service/packed/packed_blocks.h"
#include "segmenter_service/packed/packed_neck.h"
#include "segmenter_service/packed/packed_patches.h"

namespace segmenter {
namespace {

template <typename T>
class PackedViT final : public EncoderSteps {
 public:
  PackedViT(ImageEncoderViT encoder, const ImageEncoderConfig& config, int threads)
      : encoder_(std::move(encoder)),
        patches_(encoder_->patch_embed->proj, encoder_->pos_embed, config.image_size, threads),
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
