// The attention of one head over one window, or over the whole grid, for all packed encoders.
// Scores exist for a few hundred queries and keys at a time.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "nn/onednn/aligned.h"
#include "nn/onednn/bfloat16.h"
#include "nn/onednn/matmul.h"
#include "nn/onednn/rowwise.h"

namespace segmenter {

// `count` rows of `width` elements, `stride` apart, one after the other; the result lies in `out`.
// oneDNN multiplies rows in tiles (AMX) only where nothing lies between them.
template <typename T>
const T* GatherRows(const T* rows, std::int64_t count, std::int64_t width, std::int64_t stride,
                    nn::onednn::AlignedVector<T>* out) {
  out->resize(count * width);
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy_n(rows + i * stride, width, out->data() + i * width);
  }
  return out->data();
}

// The part of a map's attention that is computed at a time.
struct AttentionTile {
  std::int64_t queries = 0, keys = 0;
};

struct HeadAttentionShape {
  std::int64_t rows = 0;  // queries at a time
  std::int64_t keys = 0;
  // In bf16 a divisor of `keys`, in float32 a multiple of 64; 0: all of them.
  std::int64_t keys_at_a_time = 0;
  std::int64_t head_dim = 0;
  std::int64_t input_stride = 0;   // elements from one token to the next in k and v
  std::int64_t output_stride = 0;  // the same in the output
};

// Attention of one head: `rows` queries at a time against all keys, with a softmax that the caller
// gives. T: float or BFloat16Bits. Immutable; scratch belongs to the calling thread.
//
// In bf16 both products are oneDNN's primitives, in float32 our own (nn/onednn/small_product.h).
// The softmax runs over the parts of the keys, so that keys, values and scores may stay in the L2
// cache (as in Dao et al., "FlashAttention", 2022). Sums are float32.
template <typename T>
class HeadAttention {
 public:
  static constexpr std::int64_t kMaxRows = 256;
  // REQUIRES: shape.rows <= kMaxRows.
  explicit HeadAttention(const HeadAttentionShape& shape);

  // Keys and values as the products want them.
  struct Keys {
    nn::onednn::AlignedVector<std::byte> k, v;
  };
  // Packs [keys, head_dim] each, rows input_stride apart.
  void PackKeys(const T* k, const T* v, Keys* keys) const;

  // Keys [first, first + count).
  struct KeyRange {
    std::int64_t first, count;
  };

  struct Scratch {
    nn::onednn::AlignedVector<T> queries;  // the caller's, for GatherRows
    nn::onednn::AlignedVector<float> scores;
    nn::onednn::AlignedVector<T> weights;          // bf16
    nn::onednn::AlignedVector<std::byte> product;  // bf16
    nn::onednn::AlignedVector<float> output;
  };
  // Output rows: softmax(q · kᵀ) · v of `rows` queries. `q` [rows, head_dim] is dense (GatherRows);
  // `output` points at that of the first query.
  //
  // `softmax(row, range, scores, state, weights)` does what nn::onednn::SoftmaxRow does for query
  // `row` and the keys in `range`, and returns the same factor; `scores` and `weights` may be the
  // same memory.
  template <typename Softmax>
  void Attend(const T* q, const Keys& keys, Scratch* scratch, T* output,
              const Softmax& softmax) const {
    nn::onednn::SoftmaxState states[kMaxRows];
    for (std::int64_t first = 0; first < shape_.keys; first += block_) {
      const KeyRange range = {first, std::min(block_, shape_.keys - first)};
      T* weights = Scores(q, keys, range, scratch);
      float factors[kMaxRows];
      for (std::int64_t r = 0; r < shape_.rows; ++r) {
        factors[r] = softmax(r, range, scratch->scores.data() + r * stride_, &states[r],
                             weights + r * stride_);
      }
      AddValues(weights, factors, keys, range, scratch);
    }
    Divide(states, *scratch, output);
  }

  std::int64_t rows() const { return shape_.rows; }

 private:
  // scratch->scores = q · kᵀ for the keys in `range`; returns where the weights go.
  T* Scores(const T* q, const Keys& keys, const KeyRange& range, Scratch* scratch) const;
  // scratch->output = scratch->output · factors + weights · v; overwritten when range.first is 0.
  void AddValues(const T* weights, const float* factors, const Keys& keys, const KeyRange& range,
                 Scratch* scratch) const;
  // output = scratch->output, each row divided by its state's sum.
  void Divide(const nn::onednn::SoftmaxState* states, const Scratch& scratch, T* output) const;

  const HeadAttentionShape shape_;
  const std::int64_t block_;   // keys at a time
  const std::int64_t stride_;  // from one row of scores to the next
  const std::int64_t width_;   // of scratch->output
  // bf16 only.
  const std::optional<nn::onednn::Matmul> scores_, values_;
  const std::optional<nn::onednn::Matmul::Packing> pack_k_, pack_v_;
};

struct GridAttentionShape {
  std::int64_t side = 0;  // of the grid of keys
  // As HeadAttentionShape's. `rows` divides side * side; keys_at_a_time are whole lines of keys.
  std::int64_t rows = 0, keys_at_a_time = 0, head_dim = 0, input_stride = 0, output_stride = 0;
};

// HeadAttention over a square grid of keys, with SAM's relative positions.
template <typename T>
class GridAttention {
 public:
  using Keys = typename HeadAttention<T>::Keys;
  static constexpr std::int64_t kMaxRows = HeadAttention<T>::kMaxRows;
  explicit GridAttention(const GridAttentionShape& shape);

  // A block's tables rel_pos_h and rel_pos_w [2 * side - 1, head_dim], packed for Attend.
  nn::onednn::AlignedVector<std::byte> PackTables(const float* rel_pos_h,
                                                  const float* rel_pos_w) const;

  void PackKeys(const T* k, const T* v, Keys* keys) const { products_.PackKeys(k, v, keys); }

  struct Scratch {
    typename HeadAttention<T>::Scratch products;
    nn::onednn::AlignedVector<float> bias;
    nn::onednn::AlignedVector<std::byte> product;
  };
  // Queries [first, first + rows) of the grid, in row-major order; `q` and `output` are
  // HeadAttention's. `tables`: PackTables'.
  void Attend(const T* q, std::int64_t first, const Keys& keys, const std::byte* tables,
              Scratch* scratch, T* output) const;

  std::int64_t rows() const { return products_.rows(); }

 private:
  const GridAttentionShape shape_;
  const std::int64_t bias_width_;  // both tables' entries, rounded up in float32
  const HeadAttention<T> products_;
  const std::optional<nn::onednn::Matmul> bias_;  // bf16 only
};

// How the attention over a whole map of side `side` is cut. In float32 a constant, which suits L2
// caches of 1 MiB; in bf16 the fastest of a few on this CPU (nn/onednn/kernel_plan.h), with
// relative positions or without.
template <typename T>
AttentionTile GlobalTile(std::int64_t side, std::int64_t head_dim);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_ATTENTION_H_
