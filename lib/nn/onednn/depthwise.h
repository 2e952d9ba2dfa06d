// Depthwise 3x3 convolution of channels-last maps, a row at a time, so that the layers around it
// can work on the same rows while these are in the cache.
#ifndef DUET_NN_ONEDNN_DEPTHWISE_H_
#define DUET_NN_ONEDNN_DEPTHWISE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

// Immutable; Row may be called from several threads at once.
class Depthwise3x3 {
 public:
  // `weight` [C, 1, 3, 3], `bias` [C], float32; copied. Padding 1.
  Depthwise3x3(const at::Tensor& weight, const at::Tensor& bias, std::int64_t stride, bool gelu);

  // One row of the output, [(width + stride - 1) / stride, C], from three of the input, [width, C]
  // each; one that lies outside the map is null. T: float or BFloat16Bits.
  template <typename T>
  void Row(const T* above, const T* here, const T* below, std::int64_t width, T* output) const;

  std::int64_t stride() const { return stride_; }
  std::size_t weight_bytes() const { return (weight_.size() + bias_.size()) * sizeof(float); }

 private:
  const std::int64_t channels_, stride_;
  const bool gelu_;
  std::vector<float> weight_, bias_;  // [9, C], [C]
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_DEPTHWISE_H_
