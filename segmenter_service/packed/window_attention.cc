#include "segmenter_service/packed/window_attention.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

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
  return HeadAttention<T>({.rows = DivisorUpTo(tokens, kGlobalRows<T>),
                           .keys = tokens,
                           .head_dim = s.head_dim,
                           .input_stride = 3 * width,
                           .output_stride = width});
}

}  // namespace

template <typename T>
WindowAttention<T>::WindowAttention(const WindowAttentionShape& shape, std::vector<T> pad,
                                    std::vector<float> biases)
    : shape_(WithRows(shape)),
      width_(shape.heads * shape.head_dim),
      pad_(std::move(pad)),
      biases_(std::move(biases)),
      over_all_(GlobalProducts<T>(shape)) {
  if (!biases_.empty()) biases_.resize(biases_.size() + nn::onednn::kSoftmaxPadding);
}

template <typename T>
void WindowAttention<T>::Run(const T* qkv, T* output) {
  if (shape_.window == 0) {
    RunOverAll(qkv, output);
  } else {
    RunInWindows(qkv, output);
  }
}

template <typename T>
void WindowAttention<T>::RunInWindows(const T* qkv, T* output) {
  const std::int64_t side = shape_.window, d = shape_.head_dim, keys = side * side;
  const std::int64_t across = (shape_.grid + side - 1) / side, shrink = shape_.pool ? 2 : 1;
  const std::int64_t down = (shape_.rows + side - 1) / side;
  const std::int64_t out_side = side / shrink, out_grid = shape_.grid / shrink;
  const std::int64_t out_rows = shape_.rows / shrink;
  const std::int64_t queries = out_side * out_side;
  const std::int64_t score_width = nn::onednn::RoundUpColumns(keys);
  const std::int64_t value_width = nn::onednn::RoundUpColumns(d);
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
#pragma omp parallel
  {
    std::vector<float> q(keys * d), k(d * score_width), v(keys * value_width);
    std::vector<float> scores(kWindowRows * score_width + nn::onednn::kSoftmaxPadding);
    std::vector<float> out(kWindowRows * value_width);
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
            const std::int64_t y = row * out_side + (first + r) / out_side;
            const std::int64_t x = column * out_side + (first + r) % out_side;
            if (y >= out_rows || x >= out_grid) continue;
            T* to = output + (y * out_grid + x) * width_ + h * d;
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
        over_all_->Attend(qkv + first * stride + Offset(0, h), keys_[h], &scratch,
                          output + first * width_ + h * shape_.head_dim,
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
void WindowAttention<T>::Pool(std::int64_t side, float* queries) const {
  const std::int64_t d = shape_.head_dim, line = side * d;
  float* out = queries;
  for (std::int64_t y = 0; y < side; y += 2) {
    for (std::int64_t x = 0; x < side; x += 2) {
      const float* in = queries + y * line + x * d;
      for (std::int64_t c = 0; c < d; ++c) {
        *out++ = std::max({in[c], in[c + d], in[c + line], in[c + line + d]});
      }
    }
  }
}

template class WindowAttention<float>;
template class WindowAttention<BFloat16Bits>;

}  // namespace segmenter
