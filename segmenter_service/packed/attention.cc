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

constexpr std::int64_t kPanel = 64;  // keys that lie together, [head_dim, kPanel]
// Keys at a time in float32: with 128 queries a quarter of a megabyte of scores, and as much of
// keys and values.
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
HeadAttention<T>::HeadAttention(std::int64_t rows, std::int64_t keys, std::int64_t head_dim,
                                std::int64_t input_stride, std::int64_t output_stride,
                                std::int64_t unit)
    : rows_(rows),
      keys_(keys),
      head_dim_(head_dim),
      input_stride_(input_stride),
      output_stride_(output_stride),
      block_(KeysAtATime<T>(keys, unit)),
      stride_(kFloat<T> ? RoundUpColumns(block_) : keys),
      scores_(Product<T>({.rows = rows,
                          .inner = head_dim,
                          .columns = keys,
                          .input_stride = input_stride,
                          .output_stride = keys,
                          .type = kPrecisionOf<T>})),
      values_(Product<T>({.rows = rows,
                          .inner = keys,
                          .columns = head_dim,
                          .input_stride = keys,
                          .output_stride = output_stride,
                          .type = kPrecisionOf<T>,
                          .output_type = kPrecisionOf<T>})) {}

template <typename T>
void HeadAttention<T>::PackKeys(const T* k, const T* v, Keys* keys) const {
  if constexpr (kFloat<T>) {
    const std::int64_t width = RoundUpColumns(head_dim_);
    const std::int64_t columns_in_all = RoundUpColumns(keys_);
    keys->k.resize(sizeof(float) * columns_in_all * head_dim_);
    keys->v.resize(sizeof(float) * keys_ * width);
    auto* panels = reinterpret_cast<float*>(keys->k.data());
    auto* values = reinterpret_cast<float*>(keys->v.data());
    for (std::int64_t first = 0; first < columns_in_all; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, columns_in_all - first);
      float* panel = panels + first * head_dim_;
      for (std::int64_t i = 0; i < std::min(columns, keys_ - first); ++i) {
        const float* key = k + (first + i) * input_stride_;
        for (std::int64_t c = 0; c < head_dim_; ++c) panel[c * columns + i] = key[c];
      }
    }
    for (std::int64_t i = 0; i < keys_; ++i) {
      std::copy_n(v + i * input_stride_, head_dim_, values + i * width);
    }
  } else {
    keys->k.resize(scores_->packed_bytes());
    keys->v.resize(values_->packed_bytes());
    scores_->Pack(k, 1, input_stride_, keys->k.data());
    values_->Pack(v, input_stride_, 1, keys->v.data());
  }
}

template <typename T>
T* HeadAttention<T>::Scores(const T* q, const Keys& keys, std::int64_t first, std::int64_t count,
                            Scratch* scratch) const {
  scratch->scores.resize(rows_ * stride_ + nn::onednn::kSoftmaxPadding);
  if constexpr (kFloat<T>) {
    const auto* panels = reinterpret_cast<const float*>(keys.k.data()) + first * head_dim_;
    const std::int64_t width = RoundUpColumns(count);
    for (std::int64_t i = 0; i < width; i += kPanel) {
      const std::int64_t columns = std::min(kPanel, width - i);
      SmallProduct(q, input_stride_, rows_, head_dim_, panels + i * head_dim_, columns, columns,
                   scratch->scores.data() + i, stride_);
    }
    return scratch->scores.data();
  } else {
    scratch->product.resize(std::max(scores_->scratch_bytes(), values_->scratch_bytes()) + 1);
    scores_->Run(q, keys.k.data(), nullptr, scratch->scores.data(), scratch->product.data());
    scratch->weights.resize(rows_ * stride_ + nn::onednn::kSoftmaxPadding);
    return scratch->weights.data();
  }
}

template <typename T>
void HeadAttention<T>::AddValues(const T* weights, const float* factors, const Keys& keys,
                                 std::int64_t first, std::int64_t count, Scratch* scratch,
                                 T* output) const {
  if constexpr (kFloat<T>) {
    const std::int64_t width = RoundUpColumns(head_dim_);
    if (first == 0) {
      scratch->output.assign(rows_ * width, 0.0F);
    } else {
      for (std::int64_t r = 0; r < rows_; ++r) {
        if (factors[r] == 1) continue;
        float* row = scratch->output.data() + r * width;
        for (std::int64_t c = 0; c < head_dim_; ++c) row[c] *= factors[r];
      }
    }
    AddSmallProduct(weights, stride_, 1, rows_, count,
                    reinterpret_cast<const float*>(keys.v.data()) + first * width, width, width,
                    scratch->output.data(), width);
  } else {
    values_->Run(weights, keys.v.data(), nullptr, output, scratch->product.data());
  }
}

template <typename T>
void HeadAttention<T>::Divide(const nn::onednn::SoftmaxState* states, Scratch* scratch,
                              T* output) const {
  const T* product = output;
  std::int64_t stride = output_stride_;
  if constexpr (kFloat<T>) {
    product = scratch->output.data();
    stride = RoundUpColumns(head_dim_);
  }
  for (std::int64_t r = 0; r < rows_; ++r) {
    const float factor = 1.0F / states[r].sum;
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      nn::onednn::Store(nn::onednn::ToFloat(product[r * stride + c]) * factor,
                        &output[r * output_stride_ + c]);
    }
  }
}

template <typename T>
GridAttention<T>::GridAttention(std::int64_t side, std::int64_t head_dim, std::int64_t rows,
                                std::int64_t input_stride, std::int64_t output_stride)
    : side_(side),
      head_dim_(head_dim),
      input_stride_(input_stride),
      bias_width_(kFloat<T> ? RoundUpColumns(2 * (2 * side - 1)) : 2 * (2 * side - 1)),
      products_(rows, side * side, head_dim, input_stride, output_stride, /*unit=*/side),
      bias_(Product<T>({.rows = rows,
                        .inner = head_dim,
                        .columns = bias_width_,
                        .input_stride = input_stride,
                        .output_stride = bias_width_,
                        .type = kPrecisionOf<T>})) {}

template <typename T>
std::vector<std::byte> GridAttention<T>::PackTables(const float* rel_pos_h,
                                                    const float* rel_pos_w) const {
  // Upstream reads entry query - key + side - 1. Reversed, the entries of one query are consecutive
  // and rise with the key: entry key - query + side - 1.
  const std::int64_t count = 2 * side_ - 1;
  const auto entry = [&](std::int64_t i, std::int64_t c) {
    const float* table = i < count ? rel_pos_h : rel_pos_w;
    return table[(count - 1 - i % count) * head_dim_ + c];
  };
  if constexpr (kFloat<T>) {  // [head_dim, bias_width_]
    std::vector<std::byte> packed(sizeof(float) * head_dim_ * bias_width_);
    auto* out = reinterpret_cast<float*>(packed.data());
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      for (std::int64_t i = 0; i < 2 * count; ++i) out[c * bias_width_ + i] = entry(i, c);
    }
    return packed;
  } else {
    std::vector<T> reversed;  // [2 * count, head_dim]
    for (std::int64_t i = 0; i < 2 * count; ++i) {
      for (std::int64_t c = 0; c < head_dim_; ++c) reversed.push_back(FromFloat<T>(entry(i, c)));
    }
    std::vector<std::byte> packed(bias_->packed_bytes());
    bias_->Pack(reversed.data(), 1, head_dim_, packed.data());
    return packed;
  }
}

template <typename T>
void GridAttention<T>::Attend(const T* q, std::int64_t first, const Keys& keys,
                              const std::byte* tables, Scratch* scratch, T* output) const {
  const std::int64_t table = 2 * side_ - 1;
  scratch->bias.resize(rows() * bias_width_ + nn::onednn::kSoftmaxPadding);
  if constexpr (kFloat<T>) {
    SmallProduct(q, input_stride_, rows(), head_dim_, reinterpret_cast<const float*>(tables),
                 bias_width_, bias_width_, scratch->bias.data(), bias_width_);
  } else {
    scratch->product.resize(bias_->scratch_bytes() + 1);
    bias_->Run(q, tables, nullptr, scratch->bias.data(), scratch->product.data());
  }

  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  products_.Attend(q, keys, &scratch->products, output,
                   [&](std::int64_t r, std::int64_t key, std::int64_t count, float* scores,
                       nn::onednn::SoftmaxState* state, T* weights) {
                     const std::int64_t y = (first + r) / side_, x = (first + r) % side_;
                     const float* entries = scratch->bias.data() + r * bias_width_;
                     return nn::onednn::SoftmaxRow(scores, count / side_, side_, scale,
                                                   entries + (side_ - 1 - y) + key / side_,
                                                   entries + table + (side_ - 1 - x), state,
                                                   weights);
                   });
}

template class HeadAttention<float>;
template class HeadAttention<BFloat16Bits>;
template class GridAttention<float>;
template class GridAttention<BFloat16Bits>;

}  // namespace segmenter
