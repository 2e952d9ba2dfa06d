#include "nn/onednn/small_product.h"

// As in rowwise.cc.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

namespace nn::onednn {
namespace {

// One AVX-512 register; elsewhere the compiler makes two or four of it.
using Vector = float __attribute__((vector_size(64)));
using Unaligned = float __attribute__((vector_size(64), aligned(4), may_alias));

// kRows x (16 · kVectors) of the output, all of it in registers.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void Tile(const float* a, std::int64_t a_stride, std::int64_t inner,
                                        const float* b, std::int64_t b_stride, float* c,
                                        std::int64_t c_stride) {
  Vector sums[kRows][kVectors] = {};
  for (std::int64_t i = 0; i < inner; ++i) {
    Vector row[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      row[v] = *reinterpret_cast<const Unaligned*>(b + i * b_stride + 16 * v);
    }
    for (int r = 0; r < kRows; ++r) {
      const float factor = a[r * a_stride + i];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factor * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      *reinterpret_cast<Unaligned*>(c + r * c_stride + 16 * v) = sums[r][v];
    }
  }
}

template <int kVectors>
[[gnu::always_inline]] inline void Columns(const float* a, std::int64_t a_stride, std::int64_t rows,
                                           std::int64_t inner, const float* b,
                                           std::int64_t b_stride, float* c, std::int64_t c_stride) {
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    Tile<4, kVectors>(a + r * a_stride, a_stride, inner, b, b_stride, c + r * c_stride, c_stride);
  }
  for (; r < rows; ++r) {
    Tile<1, kVectors>(a + r * a_stride, a_stride, inner, b, b_stride, c + r * c_stride, c_stride);
  }
}

}  // namespace

DUET_CLONES void SmallProduct(const float* a, std::int64_t a_stride, std::int64_t rows,
                              std::int64_t inner, const float* b, std::int64_t b_stride,
                              std::int64_t columns, float* c, std::int64_t c_stride) {
  std::int64_t j = 0;
  for (; j + 64 <= columns; j += 64) {
    Columns<4>(a, a_stride, rows, inner, b + j, b_stride, c + j, c_stride);
  }
  for (; j + 32 <= columns; j += 32) {
    Columns<2>(a, a_stride, rows, inner, b + j, b_stride, c + j, c_stride);
  }
  for (; j < columns; j += 16) {
    Columns<1>(a, a_stride, rows, inner, b + j, b_stride, c + j, c_stride);
  }
}

}  // namespace nn::onednn
