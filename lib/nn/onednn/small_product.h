// Products of dense float32 matrices that are too small for a oneDNN primitive, whose set-up costs
// more than the few thousand multiplications of an attention window, or of too many shapes: a
// primitive is planned for one.
#ifndef DUET_NN_ONEDNN_SMALL_PRODUCT_H_
#define DUET_NN_ONEDNN_SMALL_PRODUCT_H_

#include <cstdint>

namespace nn::onednn {

// Columns come in multiples of this; round up and ignore what is behind.
inline constexpr std::int64_t kSmallProductColumns = 16;

constexpr std::int64_t RoundUpColumns(std::int64_t columns) {
  return (columns + kSmallProductColumns - 1) / kSmallProductColumns * kSmallProductColumns;
}

// c[r, j] = Σ_i a[r, i] · b[i, j], on the calling thread. Strides: elements from one row to the
// next. REQUIRES: `columns` is a multiple of kSmallProductColumns.
void SmallProduct(const float* a, std::int64_t a_stride, std::int64_t rows, std::int64_t inner,
                  const float* b, std::int64_t b_stride, std::int64_t columns, float* c,
                  std::int64_t c_stride);

// c[r, j] += Σ_i a[r, i] · b[i, j], where element (r, i) of `a` is a[r * a_stride + i *
// a_inner_stride], so that `a` may be transposed.
void AddSmallProduct(const float* a, std::int64_t a_stride, std::int64_t a_inner_stride,
                     std::int64_t rows, std::int64_t inner, const float* b, std::int64_t b_stride,
                     std::int64_t columns, float* c, std::int64_t c_stride);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_SMALL_PRODUCT_H_
