#include "segmenter_service/packed/window_attention.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "nn/onednn/aligned.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"
#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::BFloat16Bits;

// Queries of a window at a time.
constexpr std::int64_t kWindowRows = 32;

WindowAttentionShape WithRows(WindowAttentionShape shape) {
  if (shape.rows == 0) shape.rows = shape.grid;
  return shape;
}

template <typename T>
std::optional<HeadAttention<T>> GlobalProducts(const WindowAttentionShape& s) {
  if (s.window != 0) return std::nullopt;
  const std::int64_t tokens = s.grid * s.grid, width = s.heads * s.head_dim;
  const AttentionTile tile = GlobalTile<T>(s.grid, s.head_dim);
  return HeadAttention<T>({.rows = tile.queries,
                           .keys = tokens,
                           .keys_at_a_time = tile.keys,
                           .head_dim = s.head_dim,
                           .input_stride = 3 * width,
                           .output_stride = width});
}

std::int64_t QueriesOf(const WindowAttentionShape& s) {
  return s.window * s.window / (s.pool ? 4 : 1);
}

template <typename T>
std::optional<HeadAttention<T>> WindowProducts(const WindowAttentionShape& s) {
  return HeadAttention<T>({.rows = DivisorUpTo(QueriesOf(s), HeadAttention<T>::kMaxRows),
                           .keys = s.window * s.window,
                           .head_dim = s.head_dim,
                           .input_stride = s.head_dim,
                           .output_stride = s.head_dim});
}

}  // namespace

template <typename T>
WindowAttention<T>::WindowAttention(const WindowAttentionShape& shape, AlignedVector<T> pad,
                                    AlignedVector<float> biases, Products products)
    : shape_(WithRows(shape)),
      width_(shape.heads * shape.head_dim),
      pad_(std::move(pad)),
      biases_(std::move(biases)),
      over_all_(GlobalProducts<T>(shape)),
      in_window_(products == Products::kBFloat16 ? WindowProducts<T>(shape) : std::nullopt) {
  if (!biases_.empty()) biases_.resize(biases_.size() + nn::onednn::kSoftmaxPadding);
}

template <typename T>
typename WindowAttention<T>::Products WindowAttention<T>::FasterProducts(
    const WindowAttentionShape& shape) {
  if (std::is_same_v<T, float> || shape.window == 0) return Products::kFloat32;
  // One head of one window. Zeros are as fast as any other numbers.
  const WindowAttentionShape one = {.grid = shape.window,
                                    .window = shape.window,
                                    .heads = 1,
                                    .head_dim = shape.head_dim,
                                    .pool = shape.pool};
  const std::int64_t tokens = shape.window * shape.window;
  const auto seconds = [&](Products products) {
    const nn::onednn::AloneOnOneThread alone;
    WindowAttention attention(one, AlignedVector<T>(3 * shape.head_dim),
                              AlignedVector<float>(QueriesOf(one) * tokens), products);
    const AlignedVector<T> qkv(tokens * 3 * shape.head_dim);
    AlignedVector<T> output(QueriesOf(one) * shape.head_dim);
    return nn::onednn::LeastSeconds(4, [&] { attention.Run(qkv.data(), output.data()); });
  };
  const std::string faster = nn::onednn::KernelPlan::OfProcess().Choose(
      absl::StrCat("window attention bf16 ", shape.window, "x", shape.window, "x", shape.head_dim,
                   shape.pool ? " pooled" : ""),
      {{"float32", [&] { return seconds(Products::kFloat32); }},
       {"bf16", [&] { return seconds(Products::kBFloat16); }}});
  return faster == "bf16" ? Products::kBFloat16 : Products::kFloat32;
}

template <typename T>
std::int64_t WindowAttention<T>::queries() const {
  return QueriesOf(shape_);
}

template <typename T>
T* WindowAttention<T>::Place(std::int64_t window, std::int64_t query, std::int64_t head,
                             T* output) const {
  const std::int64_t shrink = shape_.pool ? 2 : 1, side = shape_.window / shrink;
  const std::int64_t grid = shape_.grid / shrink, rows = shape_.rows / shrink;
  const std::int64_t across = (shape_.grid + shape_.window - 1) / shape_.window;
  const std::int64_t y = window / across * side + query / side;
  const std::int64_t x = window % across * side + query % side;
  if (y >= rows || x >= grid) return nullptr;
  return output + (y * grid + x) * width_ + head * shape_.head_dim;
}

template <typename T>
void WindowAttention<T>::Run(const T* qkv, T* output) {
  if (shape_.window == 0) {
    RunOverAll(qkv, output);
  } else if (in_window_) {
    RunInWindowsByHead(qkv, output);
  } else {
    RunInWindows(qkv, output);
  }
}

template <typename T>
void WindowAttention<T>::RunInWindows(const T* qkv, T* output) {
  const std::int64_t side = shape_.window, d = shape_.head_dim, keys = side * side;
  const std::int64_t across = (shape_.grid + side - 1) / side;
  const std::int64_t down = (shape_.rows + side - 1) / side, queries = this->queries();
  const std::int64_t score_width = nn::onednn::RoundUpColumns(keys);
  const std::int64_t value_width = nn::onednn::RoundUpColumns(d);
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
#pragma omp parallel
  {
    AlignedVector<float> q(keys * d), k(d * score_width), v(keys * value_width);
    AlignedVector<float> scores(kWindowRows * score_width + nn::onednn::kSoftmaxPadding);
    AlignedVector<float> out(kWindowRows * value_width);
#pragma omp for schedule(dynamic)
    for (std::int64_t w = 0; w < down * across; ++w) {
      const std::int64_t row = w / across, column = w % across;
      for (std::int64_t h = 0; h < shape_.heads; ++h) {
        ForEachToken(qkv, row * side, column * side, [&](std::int64_t i, const T* token) {
          const T *from_q = token + Offset(0, h), *from_k = token + Offset(1, h),
                  *from_v = token + Offset(2, h);
          for (std::int64_t c = 0; c < d; ++c) {
            q[i * d + c] = nn::onednn::ToFloat(from_q[c]);
            k[c * score_width + i] = nn::onednn::ToFloat(from_k[c]);
            v[i * value_width + c] = nn::onednn::ToFloat(from_v[c]);
          }
        });
        if (shape_.pool) Pool(side, q.data());
        for (std::int64_t first = 0; first < queries; first += kWindowRows) {
          const std::int64_t rows = std::min(kWindowRows, queries - first);
          nn::onednn::SmallProduct({q.data() + first * d, rows, d, d},
                                   {k.data(), d, score_width, score_width}, scores.data(),
                                   score_width);
          float sums[kWindowRows];
          for (std::int64_t r = 0; r < rows; ++r) {
            const float* bias =
                biases_.empty() ? nullptr : biases_.data() + (h * queries + first + r) * keys;
            float* weights = scores.data() + r * score_width;
            nn::onednn::SoftmaxState state;
            nn::onednn::SoftmaxRow(nn::onednn::RowScores{weights, keys, scale, bias}, &state,
                                   weights);
            sums[r] = state.sum;
          }
          nn::onednn::SmallProduct({scores.data(), rows, keys, score_width},
                                   {v.data(), keys, value_width, value_width}, out.data(),
                                   value_width);
          for (std::int64_t r = 0; r < rows; ++r) {
            T* const to = Place(w, first + r, h, output);
            if (to == nullptr) continue;
            const float factor = 1.0F / sums[r];
            for (std::int64_t c = 0; c < d; ++c) {
              nn::onednn::Store(out[r * value_width + c] * factor, &to[c]);
            }
          }
        }
      }
    }
  }
}

template <typename T>
void WindowAttention<T>::RunInWindowsByHead(const T* qkv, T* output) {
  const std::int64_t side = shape_.window, d = shape_.head_dim, keys = side * side;
  const std::int64_t across = (shape_.grid + side - 1) / side;
  const std::int64_t down = (shape_.rows + side - 1) / side, rows = in_window_->rows();
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
  using KeyRange = typename HeadAttention<T>::KeyRange;
#pragma omp parallel
  {
    AlignedVector<T> q(keys * d), k(keys * d), v(keys * d), attended(rows * d);
    typename HeadAttention<T>::Keys packed;
    typename HeadAttention<T>::Scratch scratch;
#pragma omp for schedule(dynamic)
    for (std::int64_t w = 0; w < down * across; ++w) {
      for (std::int64_t h = 0; h < shape_.heads; ++h) {
        ForEachToken(qkv, w / across * side, w % across * side,
                     [&](std::int64_t i, const T* token) {
                       std::copy_n(token + Offset(0, h), d, q.data() + i * d);
                       std::copy_n(token + Offset(1, h), d, k.data() + i * d);
                       std::copy_n(token + Offset(2, h), d, v.data() + i * d);
                     });
        if (shape_.pool) Pool(side, q.data());
        in_window_->PackKeys(k.data(), v.data(), &packed);
        for (std::int64_t first = 0; first < queries(); first += rows) {
          const float* biases =
              biases_.empty() ? nullptr : biases_.data() + (h * queries() + first) * keys;
          in_window_->Attend(q.data() + first * d, packed, &scratch, attended.data(),
                             [&](std::int64_t r, const KeyRange& range, float* scores,
                                 nn::onednn::SoftmaxState* state, T* weights) {
                               const float* bias = biases == nullptr ? nullptr : biases + r * keys;
                               return nn::onednn::SoftmaxRow(
                                   nn::onednn::RowScores{scores, range.count, scale, bias}, state,
                                   weights);
                             });
          for (std::int64_t r = 0; r < rows; ++r) {
            T* const to = Place(w, first + r, h, output);
            if (to != nullptr) std::copy_n(attended.data() + r * d, d, to);
          }
        }
      }
    }
  }
}

template <typename T>
void WindowAttention<T>::RunOverAll(const T* qkv, T* output) {
  const std::int64_t stride = 3 * width_, tokens = shape_.grid * shape_.grid;
  const std::int64_t parts = tokens / over_all_->rows();
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
  using KeyRange = typename HeadAttention<T>::KeyRange;
  keys_.resize(shape_.heads);
#pragma omp parallel
  {
    typename HeadAttention<T>::Scratch scratch;
#pragma omp for schedule(dynamic)
    for (std::int64_t h = 0; h < shape_.heads; ++h) {
      over_all_->PackKeys(qkv + Offset(1, h), qkv + Offset(2, h), &keys_[h]);
    }
#pragma omp for schedule(dynamic) collapse(2)
    for (std::int64_t h = 0; h < shape_.heads; ++h) {
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t first = part * over_all_->rows();
        const T* q = GatherRows(qkv + first * stride + Offset(0, h), over_all_->rows(),
                                shape_.head_dim, stride, &scratch.queries);
        over_all_->Attend(q, keys_[h], &scratch, output + first * width_ + h * shape_.head_dim,
                          [&](std::int64_t, const KeyRange& range, float* scores,
                              nn::onednn::SoftmaxState* state, T* weights) {
                            const nn::onednn::RowScores part = {scores, range.count, scale,
                                                                /*bias=*/nullptr};
                            return nn::onednn::SoftmaxRow(part, state, weights);
                          });
      }
    }
  }
}

template <typename T>
template <typename Visit>
void WindowAttention<T>::ForEachToken(const T* qkv, std::int64_t top, std::int64_t left,
                                      const Visit& visit) const {
  for (std::int64_t y = 0; y < shape_.window; ++y) {
    for (std::int64_t x = 0; x < shape_.window; ++x) {
      const bool inside = top + y < shape_.rows && left + x < shape_.grid;
      const std::int64_t at = (top + y) * shape_.grid + left + x;
      visit(y * shape_.window + x, inside ? qkv + at * 3 * width_ : pad_.data());
    }
  }
}

template <typename T>
template <typename Number>
void WindowAttention<T>::Pool(std::int64_t side, Number* queries) const {
  const std::int64_t d = shape_.head_dim, line = side * d;
  const auto larger = [](Number a, Number b) {
    return nn::onednn::ToFloat(a) < nn::onednn::ToFloat(b) ? b : a;
  };
  Number* out = queries;
  for (std::int64_t y = 0; y < side; y += 2) {
    for (std::int64_t x = 0; x < side; x += 2) {
      const Number* in = queries + y * line + x * d;
      for (std::int64_t c = 0; c < d; ++c) {
        *out++ = larger(larger(in[c], in[c + d]), larger(in[c + line], in[c + line + d]));
      }
    }
  }
}

template class WindowAttention<float>;
template class WindowAttention<BFloat16Bits>;

}  // namespace segmenter
