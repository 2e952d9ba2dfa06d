#include "nn/onednn/small_product.h"

#include "nn/onednn/target_clones.h"

namespace nn::onednn {
namespace {

// One AVX-512 register; elsewhere the compiler makes two or four of it.
using Vector = float __attribute__((vector_size(64)));
using Unaligned = float __attribute__((vector_size(64), aligned(4), may_alias));

struct Left {
  const float* data;
  std::int64_t stride, inner_stride;
};

// kRows x (16 · kVectors) of the output, all of it in registers.
template <int kRows, int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Tile(const Left& a, std::int64_t inner, const float* b,
                                        std::int64_t b_stride, float* c, std::int64_t c_stride) {
  Vector sums[kRows][kVectors] = {};
  for (std::int64_t i = 0; i < inner; ++i) {
    Vector row[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      row[v] = *reinterpret_cast<const Unaligned*>(b + i * b_stride + 16 * v);
    }
    for (int r = 0; r < kRows; ++r) {
      const float factor = a.data[r * a.stride + i * a.inner_stride];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factor * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      auto* out = reinterpret_cast<Unaligned*>(c + r * c_stride + 16 * v);
      *out = kAdd ? *out + sums[r][v] : sums[r][v];
    }
  }
}

template <int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Columns(Left a, std::int64_t rows, std::int64_t inner,
                                           const float* b, std::int64_t b_stride, float* c,
                                           std::int64_t c_stride) {
  // Sixteen sums, more than a multiplication and addition takes to be done: narrow tiles are tall.
  constexpr int kTall = 16 / kVectors;
  for (; rows >= kTall; rows -= kTall, a.data += kTall * a.stride, c += kTall * c_stride) {
    Tile<kTall, kVectors, kAdd>(a, inner, b, b_stride, c, c_stride);
  }
  for (; rows >= 4; rows -= 4, a.data += 4 * a.stride, c += 4 * c_stride) {
    Tile<4, kVectors, kAdd>(a, inner, b, b_stride, c, c_stride);
  }
  if (rows == 3) Tile<3, kVectors, kAdd>(a, inner, b, b_stride, c, c_stride);
  if (rows == 2) Tile<2, kVectors, kAdd>(a, inner, b, b_stride, c, c_stride);
  if (rows == 1) Tile<1, kVectors, kAdd>(a, inner, b, b_stride, c, c_stride);
}

// Columns j of `b`, `width` of them, to `panel` one row after the other.
[[gnu::always_inline]] inline void CopyPanel(const float* b, std::int64_t b_stride,
                                             std::int64_t inner, std::int64_t width, float* panel) {
  for (std::int64_t i = 0; i < inner; ++i) {
    for (std::int64_t v = 0; v < width; v += 16) {
      *reinterpret_cast<Unaligned*>(panel + i * width + v) =
          *reinterpret_cast<const Unaligned*>(b + i * b_stride + v);
    }
  }
}

// A panel of `b`, 16 · kVectors columns wide, a piece at a time that stays in the first-level cache
// for all rows. With a stride of a large power of two its lines would compete for few places there,
// so it is copied if there are rows enough to pay for that.
template <int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Panel(const Left& a, std::int64_t rows, std::int64_t inner,
                                         const float* b, std::int64_t b_stride, float* c,
                                         std::int64_t c_stride) {
  constexpr std::int64_t kWidth = 16 * kVectors;
  constexpr std::int64_t kInner = 4096 / kWidth;  // 16 KiB
  constexpr std::int64_t kRowsToCopy = 16;
  alignas(64) float copy[kInner * kWidth];
  const bool copies = b_stride % 128 == 0 && rows >= kRowsToCopy;
  for (std::int64_t i = 0; i < inner || i == 0; i += kInner) {
    const std::int64_t count = inner - i < kInner ? inner - i : kInner;
    const Left part = {a.data + i * a.inner_stride, a.stride, a.inner_stride};
    const float* from = b + i * b_stride;
    std::int64_t stride = b_stride;
    if (copies) {
      CopyPanel(from, b_stride, count, kWidth, copy);
      from = copy;
      stride = kWidth;
    }
    if (kAdd || i > 0) {
      Columns<kVectors, true>(part, rows, count, from, stride, c, c_stride);
    } else {
      Columns<kVectors, false>(part, rows, count, from, stride, c, c_stride);
    }
  }
}

template <bool kAdd>
[[gnu::always_inline]] inline void Product(const Left& a, std::int64_t rows, std::int64_t inner,
                                           const float* b, std::int64_t b_stride,
                                           std::int64_t columns, float* c, std::int64_t c_stride) {
  std::int64_t j = 0;
  for (; j + 64 <= columns; j += 64) {
    Panel<4, kAdd>(a, rows, inner, b + j, b_stride, c + j, c_stride);
  }
  for (; j + 32 <= columns; j += 32) {
    Panel<2, kAdd>(a, rows, inner, b + j, b_stride, c + j, c_stride);
  }
  for (; j < columns; j += 16) {
    Panel<1, kAdd>(a, rows, inner, b + j, b_stride, c + j, c_stride);
  }
}

}  // namespace

DUET_CLONES void SmallProduct(const float* a, std::int64_t a_stride, std::int64_t rows,
                              std::int64_t inner, const float* b, std::int64_t b_stride,
                              std::int64_t columns, float* c, std::int64_t c_stride) {
  Product<false>({a, a_stride, 1}, rows, inner, b, b_stride, columns, c, c_stride);
}

DUET_CLONES void AddSmallProduct(const float* a, std::int64_t a_stride, std::int64_t a_inner_stride,
                                 std::int64_t rows, std::int64_t inner, const float* b,
                                 std::int64_t b_stride, std::int64_t columns, float* c,
                                 std::int64_t c_stride) {
  Product<true>({a, a_stride, a_inner_stride}, rows, inner, b, b_stride, columns, c, c_stride);
}

}  // namespace nn::onednn
