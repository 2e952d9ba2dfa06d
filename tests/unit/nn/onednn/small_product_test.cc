#include "nn/onednn/small_product.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

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
  const std::int64_t width = c.columns + kGap;  // of the output
  const std::vector<float> a = Random((c.rows + kGap) * (c.inner + kGap)),
                           b = Random(c.inner * c.b_stride), before = Random(c.rows * width);
  const MatrixView left = c.transposed
                              ? MatrixView{a.data(), c.inner, c.rows, /*stride=*/c.rows + kGap}
                              : MatrixView{a.data(), c.rows, c.inner, /*stride=*/c.inner + kGap};
  const std::int64_t row_step = c.transposed ? 1 : left.stride;
  const std::int64_t inner_step = c.transposed ? left.stride : 1;
  const MatrixView right = {b.data(), c.inner, c.columns, c.b_stride};
  std::vector<float> sum = before, alone = before;

  if (c.transposed) {
    AddTransposedProduct(left, right, sum.data(), width);
  } else {
    AddSmallProduct(left, right, sum.data(), width);
    SmallProduct(left, right, alone.data(), width);
  }

  // Each addition rounds by at most 6e-8 of a sum of at most `inner`, more like its root.
  const double tolerance = 3e-7 * static_cast<double>(c.inner);
  for (std::int64_t i = 0; i < c.rows * width; ++i) {
    const std::int64_t r = i / width, column = i % width;
    double product = 0;
    for (std::int64_t k = 0; column < c.columns && k < c.inner; ++k) {
      product += double{a[r * row_step + k * inner_step]} * b[k * c.b_stride + column];
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
