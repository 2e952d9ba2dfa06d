// Linear layers in float32 on AVX-512, faster than oneDNN's (Matmul in matmul.h) for two reasons.
// GELU is computed in registers, by a polynomial that costs a third of oneDNN's. And weights lie in
// panels, pieces of which stay in the L1 cache while some hundred rows pass.
#ifndef DUET_NN_ONEDNN_AVX512_LINEAR_H_
#define DUET_NN_ONEDNN_AVX512_LINEAR_H_

#include <cstddef>
#include <cstdint>

#include "nn/onednn/aligned.h"
#include "nn/onednn/matmul.h"

namespace nn::onednn {

// Immutable; Run may be called from several threads at once.
class Avx512Linear {
 public:
  static bool Supported();

  // `weight` [out, in] and `bias` [out], which may be null, are copied. REQUIRES: Supported().
  Avx512Linear(const float* weight, const float* bias, std::int64_t in, std::int64_t out,
               Epilogue epilogue);

  // x [rows, in] to y [rows, out], both dense, on at most `threads` OpenMP threads.
  void Run(const float* x, std::int64_t rows, float* y, int threads) const;

  std::size_t weight_bytes() const;

 private:
  const std::int64_t in_, out_, width_;  // width_: of all panels
  const Epilogue epilogue_;
  AlignedArray<float> panels_;  // of 64 columns, the last narrower: [in, columns]
  AlignedArray<float> bias_;    // [width_]
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_AVX512_LINEAR_H_
