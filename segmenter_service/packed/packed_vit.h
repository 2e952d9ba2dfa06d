// SAM's vision transformer as it runs on a CPU: patches and neck are the plain module's, the blocks
// are packed.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/image_encoder.h"
#include "segmenter_service/packed/packed_blocks.h"

namespace segmenter {

class PackedViT final : public EncoderSteps {
 public:
  // As PackedBlocks.
  PackedViT(ImageEncoderViT encoder, const ImageEncoderConfig& config,
            nn::onednn::Precision precision, int threads)
      : encoder_(std::move(encoder)), blocks_(*encoder_, config, precision, threads) {}

  std::int64_t step_count() const override { return encoder_->step_count(); }
  at::Tensor Begin(const at::Tensor& input) override { return encoder_->Begin(input).contiguous(); }
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override {
    blocks_.Run(index, tokens.data_ptr<float>(), pause);
    encoder_->KeepLevel(index, tokens, levels);
    return tokens;
  }
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override {
    return encoder_->Finish(tokens, std::move(levels));
  }

 private:
  ImageEncoderViT encoder_;
  PackedBlocks blocks_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_
