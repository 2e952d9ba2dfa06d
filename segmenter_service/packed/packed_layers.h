// What the packed modules share: conversions, linear layers, layer norms over rows of tokens, and
// how many tokens are worked on at a time.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_LAYERS_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_LAYERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <type_traits>

#include "nn/layers.h"
#include "nn/onednn/aligned.h"
#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"
#include "nn/onednn/precision.h"
#include "nn/onednn/rowwise.h"
#include "segmenter_service/modeling/mlp_block.h"

namespace segmenter {

inline nn::onednn::AlignedVector<float> ToVector(const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().to(at::kFloat).contiguous();
  return {t.data_ptr<float>(), t.data_ptr<float>() + t.numel()};
}

template <typename T>
T FromFloat(float value) {
  T out;
  nn::onednn::Store(value, &out);
  return out;
}

template <typename T>
nn::onednn::AlignedVector<T> FromFloats(const at::Tensor& tensor) {
  nn::onednn::AlignedVector<T> out;
  for (const float value : ToVector(tensor)) out.push_back(FromFloat<T>(value));
  return out;
}

using nn::onednn::kPrecisionOf;

// A linear layer whose input and weights are of type T; see PackedLinear. options.type is set here.
template <typename T>
std::unique_ptr<nn::onednn::PackedLinear> MakeLinear(const at::Tensor& weight,
                                                     const at::Tensor& bias,
                                                     nn::onednn::LinearOptions options) {
  options.type = kPrecisionOf<T>;
  return std::make_unique<nn::onednn::PackedLinear>(weight, bias, options);
}
template <typename T>
std::unique_ptr<nn::onednn::PackedLinear> MakeLinear(const nn::Linear& layer,
                                                     const nn::onednn::LinearOptions& options) {
  return MakeLinear<T>(layer->weight, layer->bias, options);
}

// Float32 tokens as type T: `x` itself, or a converted copy in `scratch`.
template <typename T>
const T* Converted(const float* x, std::int64_t count, nn::onednn::AlignedVector<T>* scratch) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    scratch->resize(count);
    T* out = scratch->data();
#pragma omp parallel for simd schedule(static)
    for (std::int64_t i = 0; i < count; ++i) nn::onednn::Store(x[i], &out[i]);
    return out;
  }
}

// Tokens for each thread that go through wide layers together. With a few hundred channels of
// float32, what they become there stays in the thread's L2 cache.
constexpr std::int64_t kTokensPerThread = 512;

// The largest divisor of `count` that is at most `limit`.
inline std::int64_t DivisorUpTo(std::int64_t count, std::int64_t limit) {
  for (std::int64_t d = count < limit ? count : limit; d > 1; --d) {
    if (count % d == 0) return d;
  }
  return 1;
}

// A layer norm over the rows of a map. Immutable.
class RowNorm {
 public:
  RowNorm(const at::Tensor& weight, const at::Tensor& bias, double eps)
      : weight_(ToVector(weight)), bias_(ToVector(bias)), eps_(static_cast<float>(eps)) {}
  explicit RowNorm(const nn::LayerNorm& norm) : RowNorm(norm->weight, norm->bias, norm->eps) {}

  // [rows, C] to the same. T: float or BFloat16Bits.
  template <typename T>
  void Run(const float* x, std::int64_t rows, T* output) const {
    const std::int64_t width = static_cast<std::int64_t>(weight_.size());
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < rows; ++r) RunOnThisThread(x + r * width, 1, output + r * width);
  }
  template <typename T>
  void RunOnThisThread(const float* x, std::int64_t rows, T* output) const {
    const std::int64_t width = static_cast<std::int64_t>(weight_.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      nn::onednn::LayerNormRow(x + r * width, weight_.data(), bias_.data(), eps_, width,
                               output + r * width);
    }
  }

 private:
  nn::onednn::AlignedVector<float> weight_, bias_;
  float eps_;
};

inline RowNorm NormOf(const nn::LayerNorm& norm) { return RowNorm(norm); }
inline RowNorm NormOf(const nn::LayerNorm2d& norm) { return {norm->weight, norm->bias, norm->eps}; }

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_LAYERS_H_
