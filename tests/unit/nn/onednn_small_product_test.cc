#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "nn/onednn/small_product.h"

namespace nn::onednn {
namespace {

std::vector<float> Random(std::size_t count) {
  std::mt19937 generator(3);
  std::uniform_real_distribution<float> values(-1, 1);
  std::vector<float> out(count);
  for (float& v : out) v = values(generator);
  return out;
}

struct Case {
  std::int64_t rows, inner, columns, b_stride;
  bool transposed;
};

void ExpectEqualsDoublePrecision(const Case& c) {
  constexpr std::int64_t kGap = 5;
  const std::int64_t stride = c.transposed ? 1 : c.inner + kGap;
  const std::int64_t inner_stride = c.transposed ? c.rows + kGap : 1;
  const std::int64_t width = c.columns + kGap;  // of the output
  const std::vector<float> a = Random((c.rows + kGap) * (c.inner + kGap)),
                           b = Random(c.inner * c.b_stride), before = Random(c.rows * width);
  std::vector<float> sum = before, alone = before;

  AddSmallProduct(a.data(), stride, inner_stride, c.rows, c.inner, b.data(), c.b_stride, c.columns,
                  sum.data(), width);
  if (!c.transposed) {
    SmallProduct(a.data(), stride, c.rows, c.inner, b.data(), c.b_stride, c.columns, alone.data(),
                 width);
  }

  // Each addition rounds by at most 6e-8 of a sum of at most `inner`, more like its root.
  const double tolerance = 3e-7 * static_cast<double>(c.inner);
  for (std::int64_t i = 0; i < c.rows * width; ++i) {
    const std::int64_t r = i / width, column = i % width;
    double product = 0;
    for (std::int64_t k = 0; column < c.columns && k < c.inner; ++k) {
      product += double{a[r * stride + k * inner_stride]} * b[k * c.b_stride + column];
    }
    ASSERT_NEAR(sum[i], before[i] + product, tolerance)
        << c.rows << " " << c.columns << " " << c.b_stride << " " << i;
    if (c.transposed) continue;
    ASSERT_NEAR(alone[i], column < c.columns ? product : before[i], tolerance)
        << c.rows << " " << c.columns << " " << c.b_stride << " " << i;
  }
}

// Rows around the tiles' four, eight and sixteen, columns of one, two, four and seven vectors; the
// left side plain and transposed.
TEST(SmallProductTest, EqualsDoublePrecision) {
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 11, 16, 27}) {
    for (const std::int64_t columns : {16, 32, 64, 112}) {
      for (const bool transposed : {false, true}) {
        ExpectEqualsDoublePrecision({rows, 37, columns, columns + 5, transposed});
      }
    }
  }
}

// Longer than the piece that stays in the cache (64, 128 or 256 rows), copied there or not.
TEST(SmallProductTest, EqualsDoublePrecisionInPieces) {
  for (const std::int64_t rows : {3, 19}) {
    for (const std::int64_t columns : {16, 32, 64, 112}) {
      for (const std::int64_t b_stride : {112, 128}) {
        for (const bool transposed : {false, true}) {
          ExpectEqualsDoublePrecision({rows, 300, columns, b_stride, transposed});
        }
      }
    }
  }
}

}  // namespace
}  // namespace nn::onednn
