// Attention on packed products, for all of the family's encoders: one head over one window (or the
// whole grid), never all scores at once.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"
#include "nn/onednn/rowwise.h"

namespace segmenter {

// Queries over a whole map at a time. In bf16 their scores of all keys fill half of a typical 1 MiB
// L2 cache.
template <typename T>
constexpr std::int64_t kGlobalRows = std::is_same_v<T, float> ? 128 : 32;

// The two products of one head, `rows` queries at a time against the keys, with a softmax between
// them that the caller gives. T: float or BFloat16Bits. Immutable; scratch belongs to the calling
// thread.
//
// bf16 is multiplied by oneDNN's primitives, all keys at once. In float32 the products are our own,
// a few hundred keys at a time: keys, values and scores stay in the L2 cache, and the softmax goes
// along (as in Dao et al., "FlashAttention", 2022).
template <typename T>
class HeadAttention {
 public:
  static constexpr std::int64_t kMaxRows = 256;
  // Strides: elements from one token to the next in q, k, v and in the output. Softmax sees
  // multiples of `unit` keys at a time, or all. REQUIRES: rows <= kMaxRows.
  HeadAttention(std::int64_t rows, std::int64_t keys, std::int64_t head_dim,
                std::int64_t input_stride, std::int64_t output_stride, std::int64_t unit = 1);

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
  // `softmax(row, first, count, scores, state, weights)` is nn::onednn::SoftmaxRow for a row and
  // `count` keys; `scores` and `weights` may be the same memory. `q` and `output` point at the
  // first row.
  template <typename Softmax>
  void Attend(const T* q, const Keys& keys, Scratch* scratch, T* output,
              const Softmax& softmax) const {
    nn::onednn::SoftmaxState states[kMaxRows];
    for (std::int64_t first = 0; first < keys_; first += block_) {
      const std::int64_t count = std::min(block_, keys_ - first);
      T* weights = Scores(q, keys, first, count, scratch);
      float factors[kMaxRows];
      for (std::int64_t r = 0; r < rows_; ++r) {
        factors[r] = softmax(r, first, count, scratch->scores.data() + r * stride_, &states[r],
                             weights + r * stride_);
      }
      AddValues(weights, factors, keys, first, count, scratch, output);
    }
    Divide(states, scratch, output);
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t keys() const { return keys_; }

 private:
  // q · kᵀ of some keys to scratch->scores; returns where the weights go.
  T* Scores(const T* q, const Keys& keys, std::int64_t first, std::int64_t count,
            Scratch* scratch) const;
  // What is there times `factors`, plus weights · v; nothing is there at first == 0.
  void AddValues(const T* weights, const float* factors, const Keys& keys, std::int64_t first,
                 std::int64_t count, Scratch* scratch, T* output) const;
  void Divide(const nn::onednn::SoftmaxState* states, Scratch* scratch, T* output) const;

  const std::int64_t rows_, keys_, head_dim_, input_stride_, output_stride_;
  const std::int64_t block_;   // keys at a time
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
  const std::int64_t side_, head_dim_, input_stride_;
  const std::int64_t bias_width_;  // both tables' entries, rounded up in float32
  const HeadAttention<T> products_;
  const std::optional<nn::onednn::Matmul> bias_;  // bf16 only
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
