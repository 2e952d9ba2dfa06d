// Products of float32 matrices that oneDNN's primitives don't suit: those of an attention window,
// whose few thousand multiplications cost less than a primitive's set-up, and those whose shape
// changes with each prompt, since a primitive is planned for one shape.
#ifndef DUET_NN_ONEDNN_SMALL_PRODUCT_H_
#define DUET_NN_ONEDNN_SMALL_PRODUCT_H_

#include <cstdint>

#include "nn/onednn/matrix_view.h"

namespace nn::onednn {

// The right-hand side's columns come in multiples of this: one AVX-512 register. Callers round up,
// fill up with anything and ignore the surplus columns of the result.
inline constexpr std::int64_t kSmallProductColumns = 16;

constexpr std::int64_t RoundUpColumns(std::int64_t columns) {
  return (columns + kSmallProductColumns - 1) / kSmallProductColumns * kSmallProductColumns;
}

// All run on the calling thread. Rows of `c` are `c_stride` floats apart; `c` overlaps neither
// factor. REQUIRES: b.columns is a multiple of kSmallProductColumns.

// c = a · b. REQUIRES: a.columns == b.rows.
void SmallProduct(const MatrixView& a, const MatrixView& b, float* c, std::int64_t c_stride);

// c += a · b. REQUIRES: a.columns == b.rows.
void AddSmallProduct(const MatrixView& a, const MatrixView& b, float* c, std::int64_t c_stride);

// c += aᵀ · b. REQUIRES: a.rows == b.rows.
void AddTransposedProduct(const MatrixView& a, const MatrixView& b, float* c,
                          std::int64_t c_stride);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_SMALL_PRODUCT_H_
