#include "nn/onednn/activation_pass.h"

#include <omp.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>

#include "nn/onednn/block_lanes.h"
#include "nn/onednn/cpu.h"
#include "nn/onednn/target_clones.h"

namespace nn::onednn {
namespace {

// Elements [begin, end) of the pass.
template <typename T>
struct Part {
  Activation act;
  const T* residual;
  float scale;
  std::int64_t begin, end;
  T* x;
};

template <int kBlock, typename T>
[[gnu::always_inline]] inline void Run(const Part<T>& part) {
  using F = typename Lanes<kBlock>::Float;
  for (std::int64_t i = part.begin; i < part.end; i += kBlock) {
    F x;
    Load<kBlock>(part.x + i, x);
    Activate<kBlock>(part.act, x);
    if (part.residual != nullptr) {
      F residual;
      Load<kBlock>(part.residual + i, residual);
      x += part.scale * residual;
    }
    Store<kBlock>(x, part.x + i);
  }
}

DUET_TARGET("x86-64-v4") void RunBlocksOf16(const Part<float>& part) { Run<16>(part); }
DUET_TARGET("x86-64-v4") void RunBlocksOf16(const Part<BFloat16Bits>& part) { Run<16>(part); }
DUET_TARGET("x86-64-v3") void RunBlocksOf8(const Part<float>& part) { Run<8>(part); }
DUET_TARGET("x86-64-v3") void RunBlocksOf8(const Part<BFloat16Bits>& part) { Run<8>(part); }

#if defined(__x86_64__)

#define DUET_TARGET_BF16 DUET_TARGET("x86-64-v4,avx512bf16")

DUET_TARGET_BF16 inline __m512 LoadHalves(const BFloat16Bits* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// 1 / (1 + exp(-x)); the polynomial is RoughExpOfNonPositive's (vector_math.h), the inverse has 14
// bits. Where exp(-x) would leave the normal floats, it is 2^±120.
DUET_TARGET_BF16 inline __m512 RoughSigmoid(__m512 x) {
  const __m512 most = _mm512_set1_ps(120.0F);
  __m512 e = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504F));
  e = _mm512_max_ps(_mm512_min_ps(e, most), _mm512_sub_ps(_mm512_setzero_ps(), most));
  const __m512 n = _mm512_roundscale_ps(e, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(e, n);
  __m512 p = _mm512_set1_ps(0.0551716704F);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.242611143F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693260987F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.999928072F));
  return _mm512_rcp14_ps(_mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1.0F)));
}

// SiLU, or sigmoid, with the instructions that CPUs with bf16 have: half as many as Run needs.
DUET_TARGET_BF16 void RunHalves(const Part<BFloat16Bits>& part) {
  const bool silu = part.act == Activation::kSilu;
  const __m512 scale = _mm512_set1_ps(part.scale);
  for (std::int64_t i = part.begin; i < part.end; i += 16) {
    const __m512 x = LoadHalves(part.x + i);
    __m512 y = RoughSigmoid(x);
    if (silu) y = _mm512_mul_ps(x, y);
    if (part.residual != nullptr) y = _mm512_fmadd_ps(scale, LoadHalves(part.residual + i), y);
    const __m256bh rounded = _mm512_cvtneps_pbh(y);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(part.x + i), reinterpret_cast<__m256i>(rounded));
  }
}

#endif

void RunPart(const Part<float>& part, int block) {
  block == 16 ? RunBlocksOf16(part) : RunBlocksOf8(part);
}

void RunPart(const Part<BFloat16Bits>& part, int block) {
#if defined(__x86_64__)
  const bool exponential = part.act == Activation::kSilu || part.act == Activation::kSigmoid;
  if (exponential && CpuHasBFloat16()) return RunHalves(part);
#endif
  block == 16 ? RunBlocksOf16(part) : RunBlocksOf8(part);
}

}  // namespace

template <typename T>
void ActivateInPlace(Activation act, const T* residual, float scale, std::int64_t count, T* x) {
  constexpr std::int64_t kUnit = 64;  // elements; a multiple of all blocks and cache lines
  const int block = CpuChannelBlock();
#pragma omp parallel
  {
    const std::int64_t units = (count + kUnit - 1) / kUnit;
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t begin = units * thread / threads * kUnit;
    const std::int64_t end = std::min(units * (thread + 1) / threads * kUnit, count);
    RunPart(Part<T>{act, residual, scale, begin, end, x}, block);
  }
}

template void ActivateInPlace(Activation, const float*, float, std::int64_t, float*);
template void ActivateInPlace(Activation, const BFloat16Bits*, float, std::int64_t, BFloat16Bits*);

}  // namespace nn::onednn
