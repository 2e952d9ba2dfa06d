#include "nn/onednn/small_product.h"

#include "nn/onednn/target_clones.h"

namespace nn::onednn {
namespace {

// One AVX-512 register. Below AVX-512 the compiler makes two or four registers of it, of which
// there are 16 instead of 32: the tiles' sums don't all fit then, and some live on the stack.
using Vector = float __attribute__((vector_size(64)));
using Unaligned = float __attribute__((vector_size(64), aligned(4), may_alias));

// These are passed by value, so that no store to the output can change them: the compiler keeps
// them in registers.

// The left-hand side, plain or transposed: element (r, i) is data[r * row_step + i * inner_step].
struct Left {
  const float* data;
  std::int64_t rows, inner;
  std::int64_t row_step, inner_step;
};
struct Right {
  const float* data;
  std::int64_t stride;
};
struct Output {
  float* data;
  std::int64_t stride;
};

// kRows × (16 · kVectors) of the output, all of it in registers. A step of the loop loads kVectors
// registers of `b` and broadcasts kRows numbers of `a` for kRows · kVectors multiply-adds; with
// 4 × 4 these are 8 loads for 16 multiply-adds. A core has two ports for either, so the
// multiply-adds, and not the loads, take the time.
template <int kRows, int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Tile(Left a, Right b, Output c) {
  Vector sums[kRows][kVectors] = {};
  for (std::int64_t i = 0; i < a.inner; ++i) {
    Vector row[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      row[v] = *reinterpret_cast<const Unaligned*>(b.data + i * b.stride + 16 * v);
    }
    for (int r = 0; r < kRows; ++r) {
      const float factor = a.data[r * a.row_step + i * a.inner_step];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factor * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      auto* out = reinterpret_cast<Unaligned*>(c.data + r * c.stride + 16 * v);
      *out = kAdd ? *out + sums[r][v] : sums[r][v];
    }
  }
}

// A multiply-add takes four cycles and each of the two ports begins one a cycle, so at least eight
// sums have to be under way. Tiles hold sixteen of the 32 registers' sums: the narrower a tile is,
// the taller.
template <int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Columns(Left a, Right b, Output c) {
  constexpr int kTall = 16 / kVectors;
  for (; a.rows >= kTall;
       a.rows -= kTall, a.data += kTall * a.row_step, c.data += kTall * c.stride) {
    Tile<kTall, kVectors, kAdd>(a, b, c);
  }
  for (; a.rows >= 4; a.rows -= 4, a.data += 4 * a.row_step, c.data += 4 * c.stride) {
    Tile<4, kVectors, kAdd>(a, b, c);
  }
  if (a.rows == 3) Tile<3, kVectors, kAdd>(a, b, c);
  if (a.rows == 2) Tile<2, kVectors, kAdd>(a, b, c);
  if (a.rows == 1) Tile<1, kVectors, kAdd>(a, b, c);
}

// The first `width` columns of `inner` rows of `b` to `panel`, one row after the other.
[[gnu::always_inline]] inline void CopyPanel(Right b, std::int64_t inner, std::int64_t width,
                                             float* panel) {
  for (std::int64_t i = 0; i < inner; ++i) {
    for (std::int64_t v = 0; v < width; v += 16) {
      *reinterpret_cast<Unaligned*>(panel + i * width + v) =
          *reinterpret_cast<const Unaligned*>(b.data + i * b.stride + v);
    }
  }
}

// A panel of `b`, 16 · kVectors columns wide. All rows of `a` pass a piece of 16 KiB of it at a
// time: half of the smallest L1 cache, so that it stays there, with room for what streams by.
//
// L1 has 64 sets of 8 or 12 lines; address bits 6 to 11 choose the set. Rows whose stride is a
// multiple of 512 bytes leave at least half of the sets unused, rows 4 KiB apart all but those of
// a single row, and would drive each other out. Then the piece is copied into one run of memory,
// if enough rows share it to pay for the copy.
template <int kVectors, bool kAdd>
[[gnu::always_inline]] inline void Panel(Left a, Right b, Output c) {
  constexpr std::int64_t kWidth = 16 * kVectors;
  constexpr std::int64_t kInner = 4096 / kWidth;  // 16 KiB
  constexpr std::int64_t kRowsToCopy = 16;
  alignas(64) float copy[kInner * kWidth];
  const bool copies = b.stride % 128 == 0 && a.rows >= kRowsToCopy;
  for (std::int64_t i = 0; i < a.inner || i == 0; i += kInner) {
    Left part = a;
    part.data += i * a.inner_step;
    part.inner = a.inner - i < kInner ? a.inner - i : kInner;
    Right piece = {b.data + i * b.stride, b.stride};
    if (copies) {
      CopyPanel(piece, part.inner, kWidth, copy);
      piece = {copy, kWidth};
    }
    if (kAdd || i > 0) {
      Columns<kVectors, true>(part, piece, c);
    } else {
      Columns<kVectors, false>(part, piece, c);
    }
  }
}

template <bool kAdd>
[[gnu::always_inline]] inline void Product(Left a, Right b, std::int64_t columns, Output c) {
  std::int64_t j = 0;
  for (; j + 64 <= columns; j += 64) {
    Panel<4, kAdd>(a, {b.data + j, b.stride}, {c.data + j, c.stride});
  }
  for (; j + 32 <= columns; j += 32) {
    Panel<2, kAdd>(a, {b.data + j, b.stride}, {c.data + j, c.stride});
  }
  for (; j < columns; j += 16) {
    Panel<1, kAdd>(a, {b.data + j, b.stride}, {c.data + j, c.stride});
  }
}

// One function for both, so that its tiles exist once a CPU level.
DUET_CLONES void AddProduct(const Left& a, const Right& b, std::int64_t columns, const Output& c) {
  Product<true>(a, b, columns, c);
}

}  // namespace

DUET_CLONES void SmallProduct(const MatrixView& a, const MatrixView& b, float* c,
                              std::int64_t c_stride) {
  Product<false>(
      {.data = a.data, .rows = a.rows, .inner = a.columns, .row_step = a.stride, .inner_step = 1},
      {b.data, b.stride}, b.columns, {c, c_stride});
}

void AddSmallProduct(const MatrixView& a, const MatrixView& b, float* c, std::int64_t c_stride) {
  AddProduct(
      {.data = a.data, .rows = a.rows, .inner = a.columns, .row_step = a.stride, .inner_step = 1},
      {b.data, b.stride}, b.columns, {c, c_stride});
}

void AddTransposedProduct(const MatrixView& a, const MatrixView& b, float* c,
                          std::int64_t c_stride) {
  AddProduct(
      {.data = a.data, .rows = a.columns, .inner = a.rows, .row_step = 1, .inner_step = a.stride},
      {b.data, b.stride}, b.columns, {c, c_stride});
}

}  // namespace nn::onednn
