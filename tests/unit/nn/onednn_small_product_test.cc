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

// Rows around the tile's four, columns of one, two, four and seven vectors; a plain and transposed.
TEST(SmallProductTest, EqualsDoublePrecision) {
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 11}) {
    for (const std::int64_t columns : {16, 32, 64, 112}) {
      for (const bool transposed : {false, true}) {
        constexpr std::int64_t kInner = 37, kGap = 5;
        const std::int64_t stride = transposed ? 1 : kInner + kGap;
        const std::int64_t inner_stride = transposed ? rows + kGap : 1;
        const std::vector<float> a = Random((rows + kGap) * (kInner + kGap)),
                                 b = Random(kInner * (columns + kGap)),
                                 before = Random(rows * (columns + kGap));
        std::vector<float> sum = before, alone = before;

        AddSmallProduct(a.data(), stride, inner_stride, rows, kInner, b.data(), columns + kGap,
                        columns, sum.data(), columns + kGap);
        if (!transposed) {
          SmallProduct(a.data(), stride, rows, kInner, b.data(), columns + kGap, columns,
                       alone.data(), columns + kGap);
        }

        for (std::int64_t i = 0; i < rows * (columns + kGap); ++i) {
          const std::int64_t r = i / (columns + kGap), c = i % (columns + kGap);
          double product = 0;
          for (std::int64_t k = 0; c < columns && k < kInner; ++k) {
            product += double{a[r * stride + k * inner_stride]} * b[k * (columns + kGap) + c];
          }
          // 37 products of at most 1, in single precision.
          EXPECT_NEAR(sum[i], before[i] + product, 1e-5) << rows << " " << columns << " " << i;
          if (!transposed && c < columns) {
            EXPECT_NEAR(alone[i], product, 1e-5);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nn::onednn
