#include "segmenter_service/packed/attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <utility>

#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::AddSmallProduct;
using nn::onednn::BFloat16Bits;
using nn::onednn::Epilogue;
using nn::onednn::RoundUpColumns;
using nn::onednn::SmallProduct;

// Keys that lie together, [head_dim, kPanel]: as many columns as SmallProduct's widest tile has.
constexpr std::int64_t kPanel = 64;
// Keys at a time in float32. With 128 queries their scores take 256 KiB, and with heads of 64 (80)
// their keys and values 256 (320) KiB more: together half of a 1 MiB L2 cache.
constexpr std::int64_t kKeys = 512;

template <typename T>
constexpr bool kFloat = std::is_same_v<T, float>;

template <typename T>
std::optional<nn::onednn::Matmul> Product(const nn::onednn::MatmulShape& shape) {
  if constexpr (kFloat<T>) return std::nullopt;
  return std::optional<nn::onednn::Matmul>(std::in_place, shape, Epilogue::kNone,
                                           /*with_bias=*/false, /*threads=*/1);
}

// Whole panels, multiples of `unit`.
template <typename T>
std::int64_t KeysAtATime(std::int64_t keys, std::int64_t unit) {
  if constexpr (!kFloat<T>) return keys;
  const std::int64_t least = std::lcm(unit, kPanel);
  return std::min(keys, std::max<std::int64_t>(1, kKeys / least) * least);
}

}  // namespace

template <typename T>
HeadAttention<T>::HeadAttention(const HeadAttentionShape& shape)
    : shape_(shape),
      block_(KeysAtATime<T>(shape.keys, shape.unit)),
      stride_(kFloat<T> ? RoundUpColumns(block_) : shape.keys),
      scores_(Product<T>({.rows = shape.rows,
                          .inner = shape.head_dim,
                          .columns = shape.keys,
                          .input_stride = shape.input_stride,
                          .output_stride = shape.keys,
                          .type = kPrecisionOf<T>})),
      values_(Product<T>({.rows = shape.rows,
                          .inner = shape.keys,
                          .columns = shape.head_dim,
                          .input_stride = shape.keys,
                          .output_stride = shape.output_stride,
                          .type = kPrecisionOf<T>,
                          .output_type = kPrecisionOf<T>})) {}

template <typename T>
void HeadAttention<T>::PackKeys(const T* k, const T* v, Keys* keys) const {
  if constexpr (kFloat<T>) {
    const std::int64_t width = RoundUpColumns(shape_.head_dim);
    const std::int64_t columns_in_all = RoundUpColumns(shape_.keys);
    keys->k.resize(sizeof(float) * columns_in_all * shape_.head_dim);
    keys->v.resize(sizeof(float) * shape_.keys * width);
    auto* panels = reinterpret_cast<float*>(keys->k.data());
    auto* values = reinterpret_cast<float*>(keys->v.data());
    for (std::int64_t first = 0; first < columns_in_all; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, columns_in_all - first);
      float* panel = panels + first * shape_.head_dim;
      for (std::int64_t i = 0; i < std::min(columns, shape_.keys - first); ++i) {
        const float* key = k + (first + i) * shape_.input_stride;
        for (std::int64_t c = 0; c < shape_.head_dim; ++c) panel[c * columns + i] = key[c];
      }
    }
    for (std::int64_t i = 0; i < shape_.keys; ++i) {
      std::copy_n(v + i * shape_.input_stride, shape_.head_dim, values + i * width);
    }
  } else {
    keys->k.resize(scores_->packed_bytes());
    keys->v.resize(values_->packed_bytes());
    scores_->Pack(k, 1, shape_.input_stride, keys->k.data());
    values_->Pack(v, shape_.input_stride, 1, keys->v.data());
  }
}

template <typename T>
T* HeadAttention<T>::Scores(const T* q, const Keys& keys, const KeyRange& range,
                            Scratch* scratch) const {
  scratch->scores.resize(shape_.rows * stride_ + nn::onednn::kSoftmaxPadding);
  if constexpr (kFloat<T>) {
    const auto* panels =
        reinterpret_cast<const float*>(keys.k.data()) + range.first * shape_.head_dim;
    const std::int64_t width = RoundUpColumns(range.count);
    for (std::int64_t i = 0; i < width; i += kPanel) {
      const std::int64_t columns = std::min(kPanel, width - i);
      SmallProduct({q, shape_.rows, shape_.head_dim, shape_.input_stride},
                   {panels + i * shape_.head_dim, shape_.head_dim, columns, columns},
                   scratch->scores.data() + i, stride_);
    }
    return scratch->scores.data();
  } else {
    scratch->product.resize(std::max(scores_->scratch_bytes(), values_->scratch_bytes()) + 1);
    scores_->Run(q, keys.k.data(), nullptr, scratch->scores.data(), scratch->product.data());
    scratch->weights.resize(shape_.rows * stride_ + nn::onednn::kSoftmaxPadding);
    return scratch->weights.data();
  }
}

template <typename T>
void HeadAttention<T>::AddValues(const T* weights, const float* factors, const Keys& keys,
                                 const KeyRange& range, Scratch* scratch, T* output) const {
  if constexpr (kFloat<T>) {
    const std::int64_t width = RoundUpColumns(shape_.head_dim);
    if (range.first == 0) {
      scratch->output.assign(shape_.rows * width, 0.0F);
    } else {
      for (std::int64_t r = 0; r < shape_.rows; ++r) {
        if (factors[r] == 1) continue;
        float* row = scratch->output.data() + r * width;
        for (std::int64_t c = 0; c < shape_.head_dim; ++c) row[c] *= factors[r];
      }
    }
    const auto* values = reinterpret_cast<const float*>(keys.v.data()) + range.first * width;
    AddSmallProduct({weights, shape_.rows, range.count, stride_},
                    {values, range.count, width, width}, scratch->output.data(), width);
  } else {
    values_->Run(weights, keys.v.data(), nullptr, output, scratch->product.data());
  }
}

template <typename T>
void HeadAttention<T>::Divide(const nn::onednn::SoftmaxState* states, Scratch* scratch,
                              T* output) const {
  const T* product = output;
  std::int64_t stride = shape_.output_stride;
  if constexpr (kFloat<T>) {
    product = scratch->output.data();
    stride = RoundUpColumns(shape_.head_dim);
  }
  for (std::int64_t r = 0; r < shape_.rows; ++r) {
    const float factor = 1.0F / states[r].sum;
    for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
      nn::onednn::Store(nn::onednn::ToFloat(product[r * stride + c]) * factor,
                        &output[r * shape_.output_stride + c]);
    }
  }
}

template <typename T>
GridAttention<T>::GridAttention(const GridAttentionShape& shape)
    : shape_(shape),
      bias_width_(kFloat<T> ? RoundUpColumns(2 * (2 * shape.side - 1)) : 2 * (2 * shape.side - 1)),
      products_({.rows = shape.rows,
                 .keys = shape.side * shape.side,
                 .head_dim = shape.head_dim,
                 .input_stride = shape.input_stride,
                 .output_stride = shape.output_stride,
                 .unit = shape.side}),
      bias_(Product<T>({.rows = shape.rows,
                        .inner = shape.head_dim,
                        .columns = bias_width_,
                        .input_stride = shape.input_stride,
                        .output_stride = bias_width_,
                        .type = kPrecisionOf<T>})) {}

template <typename T>
std::vector<std::byte> GridAttention<T>::PackTables(const float* rel_pos_h,
                                                    const float* rel_pos_w) const {
  // Upstream reads entry query - key + side - 1. Reversed, the entries of one query are consecutive
  // and rise with the key: entry key - query + side - 1.
  const std::int64_t count = 2 * shape_.side - 1;
  const auto entry = [&](std::int64_t i, std::int64_t c) {
    const float* table = i < count ? rel_pos_h : rel_pos_w;
    return table[(count - 1 - i % count) * shape_.head_dim + c];
  };
  if constexpr (kFloat<T>) {  // [head_dim, bias_width_]
    std::vector<std::byte> packed(sizeof(float) * shape_.head_dim * bias_width_);
    auto* out = reinterpret_cast<float*>(packed.data());
    for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
      for (std::int64_t i = 0; i < 2 * count; ++i) out[c * bias_width_ + i] = entry(i, c);
    }
    return packed;
  } else {
    std::vector<T> reversed;  // [2 * count, head_dim]
    for (std::int64_t i = 0; i < 2 * count; ++i) {
      for (std::int64_t c = 0; c < shape_.head_dim; ++c)
        reversed.push_back(FromFloat<T>(entry(i, c)));
    }
    std::vector<std::byte> packed(bias_->packed_bytes());
    bias_->Pack(reversed.data(), 1, shape_.head_dim, packed.data());
    return packed;
  }
}

template <typename T>
void GridAttention<T>::Attend(const T* q, std::int64_t first, const Keys& keys,
                              const std::byte* tables, Scratch* scratch, T* output) const {
  const std::int64_t side = shape_.side, table = 2 * side - 1;
  scratch->bias.resize(rows() * bias_width_ + nn::onednn::kSoftmaxPadding);
  if constexpr (kFloat<T>) {
    SmallProduct(
        {q, shape_.rows, shape_.head_dim, shape_.input_stride},
        {reinterpret_cast<const float*>(tables), shape_.head_dim, bias_width_, bias_width_},
        scratch->bias.data(), bias_width_);
  } else {
    scratch->product.resize(bias_->scratch_bytes() + 1);
    bias_->Run(q, tables, nullptr, scratch->bias.data(), scratch->product.data());
  }

  const float scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
  using KeyRange = typename HeadAttention<T>::KeyRange;
  products_.Attend(q, keys, &scratch->products, output,
                   [&](std::int64_t r, const KeyRange& range, float* scores,
                       nn::onednn::SoftmaxState* state, T* weights) {
                     const std::int64_t y = (first + r) / side, x = (first + r) % side;
                     const float* entries = scratch->bias.data() + r * bias_width_;
                     const nn::onednn::GridScores part = {
                         .scores = scores,
                         .height = range.count / side,
                         .width = side,
                         .scale = scale,
                         .bias_y = entries + (side - 1 - y) + range.first / side,
                         .bias_x = entries + table + (side - 1 - x)};
                     return nn::onednn::SoftmaxRow(part, state, weights);
                   });
}

template class HeadAttention<float>;
template class HeadAttention<BFloat16Bits>;
template class GridAttention<float>;
template class GridAttention<BFloat16Bits>;

}  // namespace segmenter
