// A matrix in memory that somebody else owns.
#ifndef DUET_NN_ONEDNN_MATRIX_VIEW_H_
#define DUET_NN_ONEDNN_MATRIX_VIEW_H_

#include <cstdint>

namespace nn::onednn {

// Element (r, c) is data[r * stride + c]. Views are copied by value and own nothing.
struct MatrixView {
  const float* data;
  std::int64_t rows, columns;
  std::int64_t stride;  // floats from one row to the next
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_MATRIX_VIEW_H_
