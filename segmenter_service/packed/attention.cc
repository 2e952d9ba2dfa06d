#include "segmenter_service/packed/attention.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"
#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::AddSmallProduct;
using nn::onednn::AlignedVector;
using nn::onednn::BFloat16Bits;
using nn::onednn::Epilogue;
using nn::onednn::Matmul;
using nn::onednn::RoundUpColumns;
using nn::onednn::SmallProduct;

// Keys that lie together, [head_dim, kPanel]: as many columns as SmallProduct's widest tile has.
constexpr std::int64_t kPanel = 64;
template <typename T>
constexpr bool kFloat = std::is_same_v<T, float>;

template <typename T>
std::optional<Matmul> Product(const nn::onednn::MatmulShape& shape, Epilogue epilogue) {
  if constexpr (kFloat<T>) return std::nullopt;
  return std::optional<Matmul>(std::in_place, shape, epilogue, /*with_bias=*/false,
                               /*threads=*/1);
}

std::optional<Matmul::Packing> PackingOf(const std::optional<Matmul>& product,
                                         const Matmul::SourceStrides& strides) {
  if (!product) return std::nullopt;
  return product->PackingOf(strides);
}

// A thread's time for one query of a whole map, without what is done once for all queries.
template <typename T>
double SecondsAQuery(std::int64_t side, std::int64_t head_dim, const AttentionTile& tile) {
  const std::int64_t tokens = side * side;
  const GridAttention<T> attention({.side = side,
                                    .rows = tile.queries,
                                    .keys_at_a_time = tile.keys,
                                    .head_dim = head_dim,
                                    .input_stride = head_dim,
                                    .output_stride = head_dim});
  // Zeros are as fast as any other numbers.
  const AlignedVector<T> zeros(tokens * head_dim);
  const AlignedVector<float> table((2 * side - 1) * head_dim);
  const AlignedVector<std::byte> tables = attention.PackTables(table.data(), table.data());
  typename GridAttention<T>::Keys keys;
  attention.PackKeys(zeros.data(), zeros.data(), &keys);
  typename GridAttention<T>::Scratch scratch;
  AlignedVector<T> output(tile.queries * head_dim);
  const nn::onednn::AloneOnOneThread alone;
  const double seconds = nn::onednn::LeastSeconds(
      2, [&] { attention.Attend(zeros.data(), 0, keys, tables.data(), &scratch, output.data()); });
  return seconds / static_cast<double>(tile.queries);
}

}  // namespace

template <typename T>
HeadAttention<T>::HeadAttention(const HeadAttentionShape& shape)
    : shape_(shape),
      block_(shape.keys_at_a_time > 0 ? shape.keys_at_a_time : shape.keys),
      stride_(kFloat<T> ? RoundUpColumns(block_) : block_),
      width_(kFloat<T> ? RoundUpColumns(shape.head_dim) : shape.head_dim),
      scores_(Product<T>({.rows = shape.rows,
                          .inner = shape.head_dim,
                          .columns = block_,
                          .input_stride = shape.head_dim,
                          .output_stride = stride_,
                          .type = kPrecisionOf<T>},
                         Epilogue::kNone)),
      values_(Product<T>({.rows = shape.rows,
                          .inner = block_,
                          .columns = shape.head_dim,
                          .input_stride = stride_,
                          .output_stride = width_,
                          .type = kPrecisionOf<T>},
                         Epilogue::kAddToOutput)),
      pack_k_(PackingOf(scores_, {.inner = 1, .column = shape.input_stride})),
      pack_v_(PackingOf(values_, {.inner = shape.input_stride, .column = 1})) {}

template <typename T>
void HeadAttention<T>::PackKeys(const T* k, const T* v, Keys* keys) const {
  if constexpr (kFloat<T>) {
    const std::int64_t columns_in_all = RoundUpColumns(shape_.keys);
    keys->k.resize(sizeof(float) * columns_in_all * shape_.head_dim);
    keys->v.resize(sizeof(float) * shape_.keys * width_);
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
      std::copy_n(v + i * shape_.input_stride, shape_.head_dim, values + i * width_);
    }
  } else {
    const std::int64_t blocks = shape_.keys / block_;
    keys->k.resize(blocks * scores_->packed_bytes());
    keys->v.resize(blocks * values_->packed_bytes());
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * block_ * shape_.input_stride;
      pack_k_->Run(k + first, keys->k.data() + b * scores_->packed_bytes());
      pack_v_->Run(v + first, keys->v.data() + b * values_->packed_bytes());
    }
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
      SmallProduct({q, shape_.rows, shape_.head_dim, shape_.head_dim},
                   {panels + i * shape_.head_dim, shape_.head_dim, columns, columns},
                   scratch->scores.data() + i, stride_);
    }
    return scratch->scores.data();
  } else {
    scratch->product.resize(std::max(scores_->scratch_bytes(), values_->scratch_bytes()) + 1);
    scores_->Run(q, keys.k.data() + range.first / block_ * scores_->packed_bytes(), nullptr,
                 scratch->scores.data(), scratch->product.data());
    scratch->weights.resize(shape_.rows * stride_ + nn::onednn::kSoftmaxPadding);
    return scratch->weights.data();
  }
}

template <typename T>
void HeadAttention<T>::AddValues(const T* weights, const float* factors, const Keys& keys,
                                 const KeyRange& range, Scratch* scratch) const {
  if (range.first == 0) {
    scratch->output.assign(shape_.rows * width_, 0.0F);
  } else {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      if (factors[r] == 1) continue;
      float* row = scratch->output.data() + r * width_;
      for (std::int64_t c = 0; c < width_; ++c) row[c] *= factors[r];
    }
  }
  if constexpr (kFloat<T>) {
    const auto* values = reinterpret_cast<const float*>(keys.v.data()) + range.first * width_;
    AddSmallProduct({weights, shape_.rows, range.count, stride_},
                    {values, range.count, width_, width_}, scratch->output.data(), width_);
  } else {
    values_->Run(weights, keys.v.data() + range.first / block_ * values_->packed_bytes(), nullptr,
                 scratch->output.data(), scratch->product.data());
  }
}

template <typename T>
void HeadAttention<T>::Divide(const nn::onednn::SoftmaxState* states, const Scratch& scratch,
                              T* output) const {
  for (std::int64_t r = 0; r < shape_.rows; ++r) {
    const float factor = 1.0F / states[r].sum;
    const float* row = scratch.output.data() + r * width_;
    for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
      nn::onednn::Store(row[c] * factor, &output[r * shape_.output_stride + c]);
    }
  }
}

template <typename T>
GridAttention<T>::GridAttention(const GridAttentionShape& shape)
    : shape_(shape),
      bias_width_(kFloat<T> ? RoundUpColumns(2 * (2 * shape.side - 1)) : 2 * (2 * shape.side - 1)),
      products_({.rows = shape.rows,
                 .keys = shape.side * shape.side,
                 .keys_at_a_time = shape.keys_at_a_time,
                 .head_dim = shape.head_dim,
                 .input_stride = shape.input_stride,
                 .output_stride = shape.output_stride}),
      bias_(Product<T>({.rows = shape.rows,
                        .inner = shape.head_dim,
                        .columns = bias_width_,
                        .input_stride = shape.head_dim,
                        .output_stride = bias_width_,
                        .type = kPrecisionOf<T>},
                       Epilogue::kNone)) {}

template <typename T>
AlignedVector<std::byte> GridAttention<T>::PackTables(const float* rel_pos_h,
                                                      const float* rel_pos_w) const {
  // Upstream reads entry query - key + side - 1. Reversed, the entries of one query are consecutive
  // and rise with the key: entry key - query + side - 1.
  const std::int64_t count = 2 * shape_.side - 1;
  const auto entry = [&](std::int64_t i, std::int64_t c) {
    const float* table = i < count ? rel_pos_h : rel_pos_w;
    return table[(count - 1 - i % count) * shape_.head_dim + c];
  };
  if constexpr (kFloat<T>) {  // [head_dim, bias_width_]
    AlignedVector<std::byte> packed(sizeof(float) * shape_.head_dim * bias_width_);
    auto* out = reinterpret_cast<float*>(packed.data());
    for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
      for (std::int64_t i = 0; i < 2 * count; ++i) out[c * bias_width_ + i] = entry(i, c);
    }
    return packed;
  } else {
    AlignedVector<T> reversed;  // [2 * count, head_dim]
    for (std::int64_t i = 0; i < 2 * count; ++i) {
      for (std::int64_t c = 0; c < shape_.head_dim; ++c)
        reversed.push_back(FromFloat<T>(entry(i, c)));
    }
    AlignedVector<std::byte> packed(bias_->packed_bytes());
    bias_->Pack(reversed.data(), {.inner = 1, .column = shape_.head_dim}, packed.data());
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
        {q, shape_.rows, shape_.head_dim, shape_.head_dim},
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

template <typename T>
AttentionTile GlobalTile(std::int64_t side, std::int64_t head_dim) {
  const std::int64_t tokens = side * side;
  // With 128 queries the scores for 512 keys take 256 KiB, and with heads of 64 (80) these keys and
  // their values 256 (320) KiB more in float32: together half of an L2 cache of 1 MiB.
  constexpr std::int64_t kQueries = 128, kKeys = 512;
  if constexpr (kFloat<T>) {
    const std::int64_t least = std::lcm(side, kPanel);  // whole lines and whole panels
    return {.queries = DivisorUpTo(tokens, kQueries),
            .keys = std::min(tokens, std::max<std::int64_t>(1, kKeys / least) * least)};
  } else {
    // Whole lines of keys, and as nearly as many as asked for as divide them all.
    const auto tile = [&](std::int64_t queries, std::int64_t keys) {
      const std::int64_t lines = DivisorUpTo(side, std::max<std::int64_t>(1, keys / side));
      return AttentionTile{.queries = DivisorUpTo(tokens, queries), .keys = lines * side};
    };
    struct Way {
      std::string_view name;
      AttentionTile tile;
    };
    // Few queries mean small scores for all keys at once; many, fewer and larger products.
    const Way ways[] = {{"32 queries, all keys", tile(32, tokens)},
                        {"64 queries, 1024 keys", tile(64, 1024)},
                        {"128 queries, 512 keys", tile(kQueries, kKeys)},
                        {"256 queries, 512 keys", tile(256, kKeys)}};
    std::vector<nn::onednn::KernelPlan::Candidate> candidates;
    for (const Way& way : ways) {
      candidates.push_back({way.name, [&] { return SecondsAQuery<T>(side, head_dim, way.tile); }});
    }
    const std::string fastest = nn::onednn::KernelPlan::OfProcess().Choose(
        absl::StrCat("attention bf16 ", side, "x", side, "x", head_dim), candidates);
    for (const Way& way : ways) {
      if (way.name == fastest) return way.tile;
    }
    return ways[0].tile;
  }
}

template AttentionTile GlobalTile<float>(std::int64_t, std::int64_t);
template AttentionTile GlobalTile<BFloat16Bits>(std::int64_t, std::int64_t);
template class HeadAttention<float>;
template class HeadAttention<BFloat16Bits>;
template class GridAttention<float>;
template class GridAttention<BFloat16Bits>;

}  // namespace segmenter
