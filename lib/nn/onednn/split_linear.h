// Linear layers in float32 from bf16 products: each number is split into a bf16 one and a bf16
// remainder, and high · high + high · low + low · high is summed in float32. On CPUs that multiply
// bf16 in tiles (AMX) that is faster than float32 itself, although it is three times the work.
//
// Both parts together keep 16 of float32's 24 bits, so that a product of any depth has an error of
// some 4e-6 of its size (rms), where float32's own is 3e-7 and bf16's 2e-3.
#ifndef DUET_NN_ONEDNN_SPLIT_LINEAR_H_
#define DUET_NN_ONEDNN_SPLIT_LINEAR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"

namespace nn::onednn {

// Which of the float32 layers that may be split (LinearOptions::may_split), of networks that this
// process packs from now on.
enum class SplitProducts {
  kNever,        // --precision=fp32-strict
  kWhereFaster,  // on CPUs with AMX, of each layer what the kernel plan says; the default
  kAlways,       // wherever there is bf16 arithmetic: for tests
};
void AllowSplitProducts(SplitProducts which);
SplitProducts AllowedSplitProducts();

// One Run at a time.
class SplitLinear {
 public:
  // `weight` [out, in] and `bias` [out], which may be null, are copied. Each Run has `rows` rows
  // and `threads` OpenMP threads. REQUIRES: CpuHasBFloat16().
  SplitLinear(const float* weight, const float* bias, std::int64_t in, std::int64_t out,
              std::int64_t rows, Epilogue epilogue, int threads);

  // x [rows, in] to y [rows, out], both dense. What is infinite in x stays so or becomes NaN.
  void Run(const float* x, float* y);
  std::size_t weight_bytes() const;

 private:
  const std::int64_t in_, rows_;
  const int threads_;
  // One product of three times the depth: [high | high | low] · [high; low; high].
  const Matmul product_;
  AlignedVector<BFloat16Bits> parts_;  // of x, [rows, 3 * in]
  std::vector<float> bias_;
  AlignedArray<std::byte> packed_, scratch_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_SPLIT_LINEAR_H_
