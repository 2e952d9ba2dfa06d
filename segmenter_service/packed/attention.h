// Attention on packed products, for all of the family's encoders: one head over one window (or the
// whole grid), never all scores at once.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"

namespace segmenter {

// The two products of one head, `rows` queries at a time against all `keys`, with a softmax between
// them that the caller gives. T: float or BFloat16Bits. Immutable; scratch belongs to the calling
// thread.
//
// bf16 is multiplied by oneDNN's primitives; in float32 our own small products are a sixth faster,
// as V comes in parts that stay in the L2 cache.
template <typename T>
class HeadAttention {
 public:
  // REQUIRES: rows <= kMaxRows.
  static constexpr std::int64_t kMaxRows = 256;
  // Strides: elements from one token to the next in q, k, v and in the output.
  HeadAttention(std::int64_t rows, std::int64_t keys, std::int64_t head_dim,
                std::int64_t input_stride, std::int64_t output_stride);

  struct Keys {
    std::vector<std::byte> k, v;
  };
  void PackKeys(const T* k, const T* v, Keys* keys) const;

  struct Scratch {
    std::vector<float> scores;
    std::vector<T> weights;
    std::vector<std::byte> product;  // bf16
    std::vector<float> output;       // float32
  };
  // `softmax(row, scores, weights)` turns q · k of a row, overwriting it, into unnormalised
  // weights, and returns their sum; the two may be the same memory. `q` and `output` point at the
  // first row.
  template <typename Softmax>
  void Attend(const T* q, const Keys& keys, Scratch* scratch, T* output,
              const Softmax& softmax) const {
    T* weights = Scores(q, keys, scratch);
    float sums[kMaxRows];
    for (std::int64_t r = 0; r < rows_; ++r) {
      sums[r] = softmax(r, scratch->scores.data() + r * stride_, weights + r * stride_);
    }
    Values(weights, sums, keys, scratch, output);
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t keys() const { return keys_; }

 private:
  // q · kᵀ to scratch->scores; returns where the weights go.
  T* Scores(const T* q, const Keys& keys, Scratch* scratch) const;
  // weights / sums · v
  void Values(const T* weights, const float* sums, const Keys& keys, Scratch* scratch,
              T* output) const;

  const std::int64_t rows_, keys_, head_dim_, input_stride_, output_stride_;
  const std::int64_t stride_;  // from one row of scores to the next
  // bf16 only.
  const std::optional<nn::onednn::Matmul> scores_, values_;
};

// HeadAttention over a `side` × `side` grid of keys, with SAM's relative positions.
template <typename T>
class GridAttention {
 public:
  using Keys = typename HeadAttention<T>::Keys;
  static constexpr std::int64_t kMaxRows = HeadAttention<T>::kMaxRows;
  // As HeadAttention's. REQUIRES: rows divides side * side.
  GridAttention(std::int64_t side, std::int64_t head_dim, std::int64_t rows,
                std::int64_t input_stride, std::int64_t output_stride);

  // A block's tables rel_pos_h and rel_pos_w [2 * side - 1, head_dim], packed for Attend.
  std::vector<std::byte> PackTables(const float* rel_pos_h, const float* rel_pos_w) const;

  void PackKeys(const T* k, const T* v, Keys* keys) const { products_.PackKeys(k, v, keys); }

  struct Scratch {
    typename HeadAttention<T>::Scratch products;
    std::vector<float> bias;
    std::vector<std::byte> product;
  };
  // Queries [first, first + rows) of the grid, in row-major order; `q` and `output` point at the
  // first one.
  void Attend(const T* q, std::int64_t first, const Keys& keys, const std::byte* tables,
              Scratch* scratch, T* output) const;

  std::int64_t rows() const { return products_.rows(); }

 private:
  const std::int64_t side_, head_dim_;
  const HeadAttention<T> products_;
  const nn::onednn::Matmul bias_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
