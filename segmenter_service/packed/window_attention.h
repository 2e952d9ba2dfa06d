// All heads of one attention layer over a square map of tokens, within windows or over all of it.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_WINDOW_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_WINDOW_ATTENTION_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "nn/onednn/aligned.h"
#include "segmenter_service/packed/attention.h"

namespace segmenter {

struct WindowAttentionShape {
  std::int64_t grid = 0;  // side of the map
  // Rows of the map that Run works on, whole windows; 0: all.
  std::int64_t rows = 0;
  std::int64_t window = 0;  // side; 0: the whole map
  std::int64_t heads = 0, head_dim = 0;
  // In a token of qkv: [q | k | v], each with all heads, or [q k v] of each head in turn.
  enum class Order { kByPart, kByHead } order = Order::kByPart;
  // Queries are the largest of each 2x2, and so is the output.
  bool pool = false;
};

// T: float or BFloat16Bits. One Run at a time.
//
// In bf16 the products within windows are float32 ones of its numbers, or bf16 ones, whichever is
// faster here (nn/onednn/kernel_plan.h): they are small, and packing for oneDNN costs as much.
template <typename T>
class WindowAttention {
 public:
  // Of what is multiplied within windows.
  enum class Products { kFloat32, kBFloat16 };

  // `pad`: qkv of the tokens that fill up the last windows, [3 * heads * head_dim]. `biases`: added
  // to the scores, [heads, queries, window^2], or empty.
  WindowAttention(const WindowAttentionShape& shape, nn::onednn::AlignedVector<T> pad,
                  nn::onednn::AlignedVector<float> biases)
      : WindowAttention(shape, std::move(pad), std::move(biases), FasterProducts(shape)) {}
  // REQUIRES: products are float32 if T is float.
  WindowAttention(const WindowAttentionShape& shape, nn::onednn::AlignedVector<T> pad,
                  nn::onednn::AlignedVector<float> biases, Products products);

  // qkv [rows * grid, 3 * heads * head_dim] to [rows * grid (or a quarter), heads * head_dim].
  void Run(const T* qkv, T* output);

 private:
  std::int64_t Offset(std::int64_t part, std::int64_t head) const {
    const auto& s = shape_;
    return (s.order == WindowAttentionShape::Order::kByPart ? part * s.heads + head
                                                            : 3 * head + part) *
           s.head_dim;
  }
  static Products FasterProducts(const WindowAttentionShape& shape);
  std::int64_t queries() const;  // of a window
  void RunInWindows(const T* qkv, T* output);
  void RunInWindowsByHead(const T* qkv, T* output);
  void RunOverAll(const T* qkv, T* output);
  // visit(index in the window, the token of qkv), row by row.
  template <typename Visit>
  void ForEachToken(const T* qkv, std::int64_t top, std::int64_t left, const Visit& visit) const;
  // The largest of each 2x2 of [side, side, head_dim], in place.
  template <typename Number>
  void Pool(std::int64_t side, Number* queries) const;
  // Where query `query` of window `window` leaves what head `head` attended to; null if it is of a
  // token that only fills up the window.
  T* Place(std::int64_t window, std::int64_t query, std::int64_t head, T* output) const;

  const WindowAttentionShape shape_;
  const std::int64_t width_;  // of the output
  const nn::onednn::AlignedVector<T> pad_;
  nn::onednn::AlignedVector<float> biases_;
  const std::optional<HeadAttention<T>> over_all_;     // if there are no windows
  const std::optional<HeadAttention<T>> in_window_;    // if its products are bf16
  std::vector<typename HeadAttention<T>::Keys> keys_;  // of each head, over all of the map
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_WINDOW_ATTENTION_H_
