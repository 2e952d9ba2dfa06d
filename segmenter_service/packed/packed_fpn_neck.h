// The end of SAM 2's image encoder as it runs on a CPU: a stage's tokens to what its mask decoder
// reads.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_FPN_NECK_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_FPN_NECK_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/matmul.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/sam2.h"

namespace segmenter {

// FpnNeck (modeling/sam2.h) and the two convolutions of Sam2MaskDecoder::HighResFeatures. All are
// 1x1, so that each fine level's two are multiplied when they are packed and cost one, much
// narrower product an image; the map of full width between them is never made.
//
// T: float or BFloat16Bits, of the factors. One Run at a time.
template <typename T>
class PackedFpnNeck {
 public:
  // Copies what it needs. REQUIRES: the model has four stages and a Sam2MaskDecoder.
  PackedFpnNeck(const Sam2& model, int threads);

  // The four stages' outputs [1, C, H, W], finest first, channels last in memory. Gives `embedding`
  // and `high_res`.
  EncodedImage Run(const std::vector<at::Tensor>& levels);

 private:
  // Level `index` as a product's rows [H * W, columns of `linear`], into `rows`.
  void Multiply(const at::Tensor& level, nn::onednn::PackedLinear* linear, float* rows);
  // The same as a map [1, columns, H, W].
  at::Tensor MultiplyToPlanes(const at::Tensor& level, nn::onednn::PackedLinear* linear,
                              std::int64_t columns);

  const std::int64_t dim_;  // of the embedding
  // Of levels 0 to 3. The last two make the embedding: level 3's is added to that of level 2.
  std::vector<std::unique_ptr<nn::onednn::PackedLinear>> linears_;
  nn::onednn::AlignedVector<T> converted_;
  nn::onednn::AlignedVector<float> coarse_, rows_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_FPN_NECK_H_
