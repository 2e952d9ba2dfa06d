#include "segmenter_service/packed/attention.h"

#include <algorithm>
#include <cmath>
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
// Keys whose values are read for all rows before the next ones.
constexpr std::int64_t kValueRows = 512;

template <typename T>
constexpr bool kFloat = std::is_same_v<T, float>;

template <typename T>
std::optional<nn::onednn::Matmul> Product(const nn::onednn::MatmulShape& shape) {
  if constexpr (kFloat<T>) return std::nullopt;
  return std::optional<nn::onednn::Matmul>(std::in_place, shape, Epilogue::kNone,
                                           /*with_bias=*/false, /*threads=*/1);
}

}  // namespace

template <typename T>
HeadAttention<T>::HeadAttention(std::int64_t rows, std::int64_t keys, std::int64_t head_dim,
                                std::int64_t input_stride, std::int64_t output_stride)
    : rows_(rows),
      keys_(keys),
      head_dim_(head_dim),
      input_stride_(input_stride),
      output_stride_(output_stride),
      stride_(kFloat<T> ? RoundUpColumns(keys) : keys),
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
    keys->k.resize(sizeof(float) * stride_ * head_dim_);
    keys->v.resize(sizeof(float) * keys_ * width);
    auto* panels = reinterpret_cast<float*>(keys->k.data());
    auto* values = reinterpret_cast<float*>(keys->v.data());
    for (std::int64_t first = 0; first < stride_; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, stride_ - first);
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
T* HeadAttention<T>::Scores(const T* q, const Keys& keys, Scratch* scratch) const {
  scratch->scores.resize(rows_ * stride_);
  if constexpr (kFloat<T>) {
    const auto* panels = reinterpret_cast<const float*>(keys.k.data());
    for (std::int64_t first = 0; first < stride_; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, stride_ - first);
      SmallProduct(q, input_stride_, rows_, head_dim_, panels + first * head_dim_, columns, columns,
                   scratch->scores.data() + first, stride_);
    }
    return scratch->scores.data();
  } else {
    scratch->product.resize(std::max(scores_->scratch_bytes(), values_->scratch_bytes()) + 1);
    scores_->Run(q, keys.k.data(), nullptr, scratch->scores.data(), scratch->product.data());
    scratch->weights.resize(rows_ * stride_);
    return scratch->weights.data();
  }
}

template <typename T>
void HeadAttention<T>::Values(const T* weights, const float* sums, const Keys& keys,
                              Scratch* scratch, T* output) const {
  const T* product = output;
  std::int64_t product_stride = output_stride_;
  if constexpr (kFloat<T>) {
    product_stride = RoundUpColumns(head_dim_);
    scratch->output.assign(rows_ * product_stride, 0.0F);
    const auto* values = reinterpret_cast<const float*>(keys.v.data());
    for (std::int64_t first = 0; first < keys_; first += kValueRows) {
      AddSmallProduct(weights + first, stride_, 1, rows_, std::min(kValueRows, keys_ - first),
                      values + first * product_stride, product_stride, product_stride,
                      scratch->output.data(), product_stride);
    }
    product = scratch->output.data();
  } else {
    values_->Run(weights, keys.v.data(), nullptr, output, scratch->product.data());
  }
  for (std::int64_t r = 0; r < rows_; ++r) {
    const float factor = 1.0F / sums[r];
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      nn::onednn::Store(nn::onednn::ToFloat(product[r * product_stride + c]) * factor,
                        &output[r * output_stride_ + c]);
    }
  }
}

template <typename T>
GridAttention<T>::GridAttention(std::int64_t side, std::int64_t head_dim, std::int64_t rows,
                                std::int64_t input_stride, std::int64_t output_stride)
    : side_(side),
      head_dim_(head_dim),
      products_(rows, side * side, head_dim, input_stride, output_stride),
      bias_({.rows = rows,
             .inner = head_dim,
             .columns = 2 * (2 * side - 1),
             .input_stride = input_stride,
             .output_stride = 2 * (2 * side - 1),
             .type = kPrecisionOf<T>},
            Epilogue::kNone, /*with_bias=*/false, /*threads=*/1) {}

template <typename T>
std::vector<std::byte> GridAttention<T>::PackTables(const float* rel_pos_h,
                                                    const float* rel_pos_w) const {
  // Upstream reads entry query - key + side - 1. Reversed, the entries of one query are consecutive
  // and rise with the key: entry key - query + side - 1.
  const std::int64_t count = 2 * side_ - 1;
  std::vector<T> reversed(2 * count * head_dim_);
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      reversed[i * head_dim_ + c] = FromFloat<T>(rel_pos_h[(count - 1 - i) * head_dim_ + c]);
      reversed[(count + i) * head_dim_ + c] =
          FromFloat<T>(rel_pos_w[(count - 1 - i) * head_dim_ + c]);
    }
  }
  std::vector<std::byte> packed(bias_.packed_bytes());
  bias_.Pack(reversed.data(), 1, head_dim_, packed.data());
  return packed;
}

template <typename T>
void GridAttention<T>::Attend(const T* q, std::int64_t first, const Keys& keys,
                              const std::byte* tables, Scratch* scratch, T* output) const {
  const std::int64_t table = 2 * side_ - 1;
  scratch->bias.resize(rows() * 2 * table);
  scratch->product.resize(bias_.scratch_bytes() + 1);
  bias_.Run(q, tables, nullptr, scratch->bias.data(), scratch->product.data());

  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  products_.Attend(q, keys, &scratch->products, output,
                   [&](std::int64_t r, float* scores, T* weights) {
                     const std::int64_t y = (first + r) / side_, x = (first + r) % side_;
                     const float* entries = scratch->bias.data() + r * 2 * table;
                     return nn::onednn::SoftmaxRow(scores, side_, scale, entries + (side_ - 1 - y),
                                                   entries + table + (side_ - 1 - x), weights);
                   });
}

template class HeadAttention<float>;
template class HeadAttention<BFloat16Bits>;
template class GridAttention<float>;
template class GridAttention<BFloat16Bits>;

}  // namespace segmenter
