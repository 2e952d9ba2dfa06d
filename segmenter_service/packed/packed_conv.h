// A 3x3 convolution by Winograd (nn/onednn/winograd.h) whose input and output are written and read
// pixel by pixel, as the norms over channels around it need.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_CONV_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_CONV_H_

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "nn/onednn/winograd.h"

namespace segmenter {

// Stride 1, zeros around. Always in float32. One Run at a time; SetPixel and GetPixel of different
// pixels from any threads.
class PackedConv3x3 {
 public:
  // False on CPUs that have no fast convolutions.
  static bool Supported();

  // `weight` [out, in, 3, 3], `bias` [out] or undefined; both are copied. `side`: of the map.
  // REQUIRES: Supported().
  PackedConv3x3(const at::Tensor& weight, const at::Tensor& bias, std::int64_t side, int threads);

  // One pixel of the input, [in].
  void SetPixel(std::int64_t pixel, const float* channels) {
    ForEachBlock(in_, [&](std::int64_t first, std::int64_t count) {
      std::copy_n(channels + first, count, input_ + first * pixels_ + pixel * block_);
    });
  }
  void Run();
  // One pixel of the output, [out].
  void GetPixel(std::int64_t pixel, float* channels) const {
    ForEachBlock(out_, [&](std::int64_t first, std::int64_t count) {
      std::copy_n(output_ + first * pixels_ + pixel * block_, count, channels + first);
    });
  }

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  std::int64_t pixels() const { return pixels_; }

 private:
  // visit(first channel, channels) of each block.
  template <typename Visit>
  void ForEachBlock(std::int64_t channels, const Visit& visit) const {
    for (std::int64_t first = 0; first < channels; first += block_) {
      visit(first, std::min(block_, channels - first));
    }
  }

  const std::int64_t in_, out_, pixels_, block_;
  const nn::onednn::WinogradConv conv_;
  const at::Tensor memory_;  // of what follows; LibTorch aligns it
  float *input_, *output_, *scratch_;
};

// Pixels [first, first + count) of planes [channels, pixels] to rows [count, channels], and back.
void PlanesToRows(const float* planes, std::int64_t pixels, std::int64_t channels,
                  std::int64_t first, std::int64_t count, float* rows);
void RowsToPlanes(const float* rows, std::int64_t pixels, std::int64_t channels, std::int64_t first,
                  std::int64_t count, float* planes);
// So many pixels at a time fill a cache line of a plane.
inline constexpr std::int64_t kPixelsTogether = 16;

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_CONV_H_
