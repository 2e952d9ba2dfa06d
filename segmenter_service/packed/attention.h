// Multi-head attention over a square grid of tokens with decomposed relative positions, on packed
// products. Source: segment_anything/modeling/image_encoder.py, Attention and
// add_decomposed_rel_pos.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"

namespace segmenter {

// The products of one head over one `side` × `side` grid, `rows` queries at a time. T: float or
// BFloat16Bits. Immutable; scratch belongs to the calling thread.
template <typename T>
class GridAttention {
 public:
  // REQUIRES: rows <= kMaxRows and divides side * side.
  static constexpr std::int64_t kMaxRows = 256;
  // Strides: elements from one token to the next in q, k, v and in the output.
  GridAttention(std::int64_t side, std::int64_t head_dim, std::int64_t rows,
                std::int64_t input_stride, std::int64_t output_stride);

  // A block's tables rel_pos_h and rel_pos_w [2 * side - 1, head_dim], packed for Attend.
  std::vector<std::byte> PackTables(const float* rel_pos_h, const float* rel_pos_w) const;

  struct Keys {
    std::vector<std::byte> k, v;
  };
  void PackKeys(const T* k, const T* v, Keys* keys) const;

  struct Scratch {
    std::vector<float> scores, bias;
    std::vector<T> weights;
    std::vector<std::byte> product;
  };
  // Queries [first, first + rows) of the grid, in row-major order; `q` and `output` point at the
  // first one.
  void Attend(const T* q, std::int64_t first, const Keys& keys, const std::byte* tables,
              Scratch* scratch, T* output) const;

  std::int64_t rows() const { return rows_; }

 private:
  const std::int64_t side_, head_dim_, rows_, output_stride_;
  const nn::onednn::Matmul scores_, values_, bias_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
