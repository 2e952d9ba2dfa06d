#include "segmenter_service/packed/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/bfloat16.h"
#include "nn/onednn/cpu.h"
#include "segmenter_service/packed/window_attention.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::BFloat16Bits;
using nn::onednn::Store;
using nn::onednn::ToFloat;

struct Case {
  std::int64_t side, head_dim;
  AttentionTile tile;
};

// Numbers that a bf16 can hold, so that the reference gets what both types get.
AlignedVector<float> Numbers(std::int64_t count, float size, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  AlignedVector<float> numbers(count);
  for (float& x : numbers) {
    BFloat16Bits rounded;
    Store(normal(random), &rounded);
    x = ToFloat(rounded);
  }
  return numbers;
}

template <typename T>
AlignedVector<T> As(const AlignedVector<float>& numbers) {
  AlignedVector<T> out(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) Store(numbers[i], &out[i]);
  return out;
}

// Largest difference from softmax(q kᵀ / sqrt(d) + q · rel_pos) v in float64, as upstream's
// image_encoder.py defines it (Attention.forward, add_decomposed_rel_pos).
template <typename T>
double Error(const Case& c) {
  const std::int64_t tokens = c.side * c.side, d = c.head_dim, table = 2 * c.side - 1;
  // Scores of some 5, so that a few keys dominate, as in trained networks.
  const AlignedVector<float> q = Numbers(tokens * d, 2, 1), k = Numbers(tokens * d, 2, 2),
                             v = Numbers(tokens * d, 1, 3), rel_h = Numbers(table * d, 0.2F, 4),
                             rel_w = Numbers(table * d, 0.2F, 5);
  const GridAttention<T> attention({.side = c.side,
                                    .rows = c.tile.queries,
                                    .keys_at_a_time = c.tile.keys,
                                    .head_dim = d,
                                    .input_stride = d,
                                    .output_stride = d});
  typename GridAttention<T>::Keys keys;
  attention.PackKeys(As<T>(k).data(), As<T>(v).data(), &keys);
  const auto tables = attention.PackTables(rel_h.data(), rel_w.data());
  typename GridAttention<T>::Scratch scratch;
  const AlignedVector<T> queries = As<T>(q);
  std::vector<T> output(tokens * d);
  for (std::int64_t first = 0; first < tokens; first += c.tile.queries) {
    attention.Attend(queries.data() + first * d, first, keys, tables.data(), &scratch,
                     output.data() + first * d);
  }

  double worst = 0;
  std::vector<double> weights(tokens);
  for (std::int64_t i = 0; i < tokens; ++i) {
    const auto dot = [&](const float* row) {
      double sum = 0;
      for (std::int64_t e = 0; e < d; ++e) sum += static_cast<double>(q[i * d + e]) * row[e];
      return sum;
    };
    double sum = 0;
    for (std::int64_t j = 0; j < tokens; ++j) {
      const std::int64_t dy = i / c.side - j / c.side + c.side - 1;
      const std::int64_t dx = i % c.side - j % c.side + c.side - 1;
      weights[j] = std::exp(dot(&k[j * d]) / std::sqrt(static_cast<double>(d)) +
                            dot(&rel_h[dy * d]) + dot(&rel_w[dx * d]));
      sum += weights[j];
    }
    for (std::int64_t e = 0; e < d; ++e) {
      double expected = 0;
      for (std::int64_t j = 0; j < tokens; ++j) expected += weights[j] * v[j * d + e];
      worst = std::max(worst, std::abs(expected / sum - ToFloat(output[i * d + e])));
    }
  }
  return worst;
}

// Parts of the keys that divide them, and one that doesn't; one query at a time, and all.
TEST(GridAttentionTest, FloatTilesGiveTheSoftmaxOverAllKeys) {
  for (const Case& c : {Case{4, 8, {16, 0}}, Case{8, 16, {1, 64}}, Case{16, 32, {64, 64}},
                        Case{24, 20, {96, 192}}, Case{20, 16, {100, 320}}}) {
    // Scores of up to 40 have an error of 40 · 2⁻²⁴ · a few, and so have their exponentials.
    EXPECT_LT(Error<float>(c), 5e-5) << c.side << " " << c.tile.queries << " " << c.tile.keys;
  }
}

TEST(GridAttentionTest, BFloat16TilesGiveTheSoftmaxOverAllKeys) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "this CPU has no bf16";
  for (const Case& c : {Case{4, 8, {16, 0}}, Case{8, 16, {32, 0}}, Case{8, 16, {32, 8}},
                        Case{16, 32, {64, 64}}, Case{24, 20, {96, 192}}}) {
    // Weights and result are rounded to 8 bits: 2 · 2⁻⁹ of values of up to 4.
    EXPECT_LT(Error<BFloat16Bits>(c), 0.016)
        << c.side << " " << c.tile.queries << " " << c.tile.keys;
  }
}

// What attends in windows of bf16 numbers gives what it gives for the same numbers as float32, by
// either kind of products: with windows that the map doesn't fill, biases and pooled queries.
TEST(WindowAttentionTest, BothKindsOfProductsGiveTheSame) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "this CPU has no bf16";
  using Half = WindowAttention<BFloat16Bits>;
  for (const WindowAttentionShape& shape :
       {WindowAttentionShape{.grid = 10, .window = 7, .heads = 2, .head_dim = 16},
        WindowAttentionShape{.grid = 16, .rows = 8, .window = 4, .heads = 3, .head_dim = 24},
        WindowAttentionShape{.grid = 12,
        .window = 8,
        .heads = 2,
        .head_dim = 32,
        .order = WindowAttentionShape::Order::kByHead,
        .pool = true}}) {
    const std::int64_t width = shape.heads * shape.head_dim;
    const std::int64_t tokens = (shape.rows == 0 ? shape.grid : shape.rows) * shape.grid;
    const std::int64_t keys = shape.window * shape.window, shrink = shape.pool ? 4 : 1;
    const AlignedVector<float> qkv = Numbers(tokens * 3 * width, 1.5F, 1);
    const AlignedVector<float> pad = Numbers(3 * width, 1, 2);
    const AlignedVector<float> biases = Numbers(shape.heads * keys / shrink * keys, 1, 3);
    std::vector<float> expected(tokens / shrink * width);
    WindowAttention<float>(shape, pad, biases).Run(qkv.data(), expected.data());
    for (const Half::Products products : {Half::Products::kFloat32, Half::Products::kBFloat16}) {
      SCOPED_TRACE(shape.window);
      std::vector<BFloat16Bits> output(expected.size());
      Half(shape, As<BFloat16Bits>(pad), biases, products)
          .Run(As<BFloat16Bits>(qkv).data(), output.data());
      double worst = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        worst = std::max<double>(worst, std::abs(expected[i] - ToFloat(output[i])));
      }
      // As above: weights and result are rounded to 8 bits.
      EXPECT_LT(worst, 0.024) << static_cast<int>(products);
      EXPECT_GT(worst, 0);
    }
  }
}

TEST(GlobalTileTest, DividesWhateverTheMap) {
  for (const std::int64_t side : {1, 4, 7, 14, 40}) {
    const AttentionTile exact = GlobalTile<float>(side, 16);
    EXPECT_EQ(side * side % exact.queries, 0) << side;
    EXPECT_EQ(exact.keys % side, 0) << side;
    EXPECT_TRUE(exact.keys == side * side || exact.keys % 64 == 0) << side;
    if (!nn::onednn::CpuHasBFloat16()) continue;
    const AttentionTile rough = GlobalTile<BFloat16Bits>(side, 16);
    EXPECT_EQ(side * side % rough.queries, 0) << side;
    EXPECT_EQ(side * side % rough.keys, 0) << side;
    EXPECT_EQ(rough.keys % side, 0) << side;
  }
}

}  // namespace
}  // namespace segmenter
