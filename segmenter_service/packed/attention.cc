#include "segmenter_service/packed/attention.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "nn/onednn/rowwise.h"

namespace segmenter {
namespace {

using nn::onednn::BFloat16Bits;
using nn::onednn::Epilogue;
using nn::onednn::MatmulShape;
using nn::onednn::Precision;

template <typename T>
constexpr Precision kPrecisionOf =
    std::is_same_v<T, float> ? Precision::kFloat32 : Precision::kBFloat16;

template <typename T>
T FromFloat(float value) {
  T out;
  nn::onednn::Store(value, &out);
  return out;
}

}  // namespace

template <typename T>
GridAttention<T>::GridAttention(std::int64_t side, std::int64_t head_dim, std::int64_t rows,
                                std::int64_t input_stride, std::int64_t output_stride)
    : side_(side),
      head_dim_(head_dim),
      rows_(rows),
      output_stride_(output_stride),
      scores_({.rows = rows,
               .inner = head_dim,
               .columns = side * side,
               .input_stride = input_stride,
               .output_stride = side * side,
               .type = kPrecisionOf<T>},
              Epilogue::kNone, /*with_bias=*/false, /*threads=*/1),
      values_({.rows = rows,
               .inner = side * side,
               .columns = head_dim,
               .input_stride = side * side,
               .output_stride = output_stride,
               .type = kPrecisionOf<T>,
               .output_type = kPrecisionOf<T>},
              Epilogue::kNone, /*with_bias=*/false, /*threads=*/1),
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
void GridAttention<T>::PackKeys(const T* k, const T* v, Keys* keys) const {
  keys->k.resize(scores_.packed_bytes());
  keys->v.resize(values_.packed_bytes());
  scores_.Pack(k, 1, scores_.input_stride(), keys->k.data());
  values_.Pack(v, scores_.input_stride(), 1, keys->v.data());
}

template <typename T>
void GridAttention<T>::Attend(const T* q, std::int64_t first, const Keys& keys,
                              const std::byte* tables, Scratch* scratch, T* output) const {
  const std::int64_t tokens = side_ * side_, table = 2 * side_ - 1;
  scratch->scores.resize(rows_ * tokens);
  scratch->bias.resize(rows_ * 2 * table);
  scratch->product.resize(
      std::max({scores_.scratch_bytes(), values_.scratch_bytes(), bias_.scratch_bytes()}) + 1);
  std::byte* product = scratch->product.data();

  bias_.Run(q, tables, nullptr, scratch->bias.data(), product);
  scores_.Run(q, keys.k.data(), nullptr, scratch->scores.data(), product);

  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  T* weights;
  if constexpr (std::is_same_v<T, float>) {
    weights = scratch->scores.data();
  } else {
    scratch->weights.resize(rows_ * tokens);
    weights = scratch->weights.data();
  }
  float sums[kMaxRows];
  for (std::int64_t r = 0; r < rows_; ++r) {
    const std::int64_t y = (first + r) / side_, x = (first + r) % side_;
    const float* entries = scratch->bias.data() + r * 2 * table;
    sums[r] = nn::onednn::SoftmaxRow(scratch->scores.data() + r * tokens, side_, scale,
                                     entries + (side_ - 1 - y), entries + table + (side_ - 1 - x),
                                     weights + r * tokens);
  }
  values_.Run(weights, keys.v.data(), nullptr, output, product);
  for (std::int64_t r = 0; r < rows_; ++r) {
    const float factor = 1.0F / sums[r];
    for (std::int64_t c = 0; c < head_dim_; ++c) {
      T& value = output[r * output_stride_ + c];
      nn::onednn::Store(nn::onednn::ToFloat(value) * factor, &value);
    }
  }
}

template class GridAttention<float>;
template class GridAttention<BFloat16Bits>;

}  // namespace segmenter
