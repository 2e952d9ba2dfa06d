#include "nn/onednn/rowwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace nn::onednn {
namespace {

std::vector<float> Random(std::size_t count, float from, float to) {
  std::mt19937 generator(3);
  std::uniform_real_distribution<float> values(from, to);
  std::vector<float> out(count);
  for (float& v : out) v = values(generator);
  return out;
}

// Sides around the vector widths of 4, 8 and 16 floats.
TEST(RowwiseTest, SoftmaxRowEqualsDoublePrecision) {
  for (const std::int64_t side : {1, 3, 7, 8, 14, 15, 16, 17, 64}) {
    std::vector<float> scores = Random(side * side + kSoftmaxPadding, -30, 30);
    const std::vector<float> before = scores, by = Random(side, -5, 5),
                             bx = Random(side + kSoftmaxPadding, -5, 5);
    std::vector<double> want(side * side);
    double largest = -1e300, want_sum = 0;
    for (std::int64_t i = 0; i < side * side; ++i) {
      want[i] = scores[i] * 0.125 + by[i / side] + bx[i % side];
      largest = std::max(largest, want[i]);
    }
    for (double& z : want) want_sum += z = std::exp(z - largest);

    SoftmaxState state;
    SoftmaxRow(GridScores{scores.data(), side, side, 0.125F, by.data(), bx.data()}, &state,
               scores.data());

    // Arguments up to 40 in float32 are off by 2e-6, so their exponentials are by as much,
    // relatively.
    EXPECT_NEAR(state.sum, want_sum, 1e-5 * want_sum) << side;
    for (std::int64_t i = 0; i < side * side; ++i) {
      EXPECT_NEAR(scores[i], want[i], 1e-5 * want[i] + 1e-37) << side << " " << i;
    }
    for (std::size_t i = side * side; i < scores.size(); ++i) EXPECT_EQ(scores[i], before[i]);
  }
}

TEST(RowwiseTest, SoftmaxOfFarApartScoresIsZeroNotNan) {
  std::vector<float> scores = {0, -1000, -1e30F, 0};
  scores.resize(4 + kSoftmaxPadding);
  const std::vector<float> zero(2 + kSoftmaxPadding, 0.0F);

  SoftmaxState state;
  SoftmaxRow(GridScores{scores.data(), 2, 2, 1.0F, zero.data(), zero.data()}, &state,
             scores.data());

  EXPECT_FLOAT_EQ(state.sum, 2);
  EXPECT_LT(scores[1], 1e-37F);
  EXPECT_LT(scores[2], 1e-37F);
}

// Rows 0, 1 to 5 and 6 of a grid of 7, so that the largest score changes between parts.
TEST(RowwiseTest, SoftmaxRowOfPartsEqualsThatOfAll) {
  constexpr std::int64_t kSide = 7;
  for (const float slope : {-10.0F, 0.0F, 10.0F}) {
    std::vector<float> whole = Random(kSide * kSide + kSoftmaxPadding, -30, 30), by(kSide);
    for (std::int64_t y = 0; y < kSide; ++y) by[y] = slope * static_cast<float>(y);
    const std::vector<float> bx = Random(kSide + kSoftmaxPadding, -5, 5);
    std::vector<float> parts = whole;
    SoftmaxState all, so_far;
    SoftmaxRow(GridScores{whole.data(), kSide, kSide, 0.125F, by.data(), bx.data()}, &all,
               whole.data());

    for (const auto& [first, rows] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 1}, {1, 5}, {6, 1}}) {
      float* part = parts.data() + first * kSide;
      const float factor = SoftmaxRow(
          GridScores{part, rows, kSide, 0.125F, by.data() + first, bx.data()}, &so_far, part);
      for (std::int64_t i = 0; i < first * kSide; ++i) parts[i] *= factor;
    }

    EXPECT_EQ(so_far.largest, all.largest);
    EXPECT_NEAR(so_far.sum, all.sum, 1e-5 * all.sum);
    for (std::int64_t i = 0; i < kSide * kSide; ++i) {
      EXPECT_NEAR(parts[i], whole[i], 1e-5 * whole[i] + 1e-37) << slope << " " << i;
    }
  }
}

// Beyond 5.2, where the polynomial ends, and around 0, where it is all.
TEST(RowwiseTest, GeluIsWithinItsError) {
  std::vector<float> x;
  for (float v = -12; v <= 12; v += 1.0F / 512) x.push_back(v);
  std::vector<float> y = x;

  GeluRow(static_cast<std::int64_t>(y.size()), y.data());

  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = 0.5 * x[i] * std::erfc(-x[i] / std::sqrt(2.0));
    EXPECT_NEAR(y[i], want, 3e-7 * std::abs(x[i])) << x[i];
  }
}

// 40 rows in calls of 1, 23 and 16.
TEST(RowwiseTest, RunningSoftmaxOfSomeCallsEqualsOneOfAll) {
  constexpr std::int64_t kRows = 40, kColumns = 19;
  const std::vector<float> scores = Random(kRows * kColumns, -30, 30);
  std::vector<float> largest(kColumns, -std::numeric_limits<float>::infinity()), sum(kColumns),
      factor(kColumns);
  std::vector<double> weighted(kColumns);  // of the row's index

  std::int64_t first = 0;
  for (const std::int64_t rows : {1, 23, 16}) {
    std::vector<float> part(scores.begin() + first * kColumns,
                            scores.begin() + (first + rows) * kColumns);
    RunningSoftmax(rows, kColumns, part.data(), largest.data(), sum.data(), factor.data());
    for (std::int64_t i = 0; i < kColumns; ++i) weighted[i] *= factor[i];
    for (std::int64_t i = 0; i < rows * kColumns; ++i) {
      weighted[i % kColumns] += part[i] * static_cast<double>(first + i / kColumns);
    }
    first += rows;
  }

  for (std::int64_t c = 0; c < kColumns; ++c) {
    double want = 0, want_sum = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      const double e = std::exp(static_cast<double>(scores[r * kColumns + c]));
      want_sum += e;
      want += e * static_cast<double>(r);
    }
    // As in SoftmaxRowEqualsDoublePrecision.
    EXPECT_NEAR(weighted[c] / sum[c], want / want_sum, 1e-5 * kRows) << c;
  }
}

TEST(RowwiseTest, SoftmaxOverGroupsIsOnePerLane) {
  for (const std::int64_t groups : {1, 2, 7, 33}) {
    const std::int64_t stride = groups * kSoftmaxLanes + 3;
    const std::vector<float> scores = Random(2 * stride, -30, 30);
    std::vector<float> got = scores;

    SoftmaxOverGroups(2, groups, stride, got.data());

    for (std::int64_t i = 0; i < 2 * kSoftmaxLanes; ++i) {
      const std::int64_t at = i / kSoftmaxLanes * stride + i % kSoftmaxLanes;
      double sum = 0;
      for (std::int64_t g = 0; g < groups; ++g) sum += std::exp(double{scores[at + g * 8]});
      for (std::int64_t g = 0; g < groups; ++g) {
        EXPECT_NEAR(got[at + g * 8], std::exp(double{scores[at + g * 8]}) / sum, 1e-5);
      }
    }
    EXPECT_EQ(got[groups * kSoftmaxLanes], scores[groups * kSoftmaxLanes]) << "behind the row";
  }
}

// In a row of almost one value, epsilon decides.
TEST(RowwiseTest, LayerNormRowEqualsDoublePrecision) {
  for (const float scale : {1.0F, 1e-3F}) {
    for (const std::int64_t count : {1, 5, 16, 33, 768}) {
      const auto x = Random(count, -3 * scale, 9 * scale);
      const auto weight = Random(count, 0, 2), bias = Random(count, -1, 1);
      double mean = 0, squares = 0;
      for (const float v : x) mean += v / static_cast<double>(count);
      for (const float v : x) squares += (v - mean) * (v - mean) / static_cast<double>(count);
      std::vector<float> got(count);

      LayerNormRow(x.data(), weight.data(), bias.data(), 1e-6F, count, got.data());

      for (std::int64_t i = 0; i < count; ++i) {
        // Values up to 4 after dividing by the deviation; float32 keeps 7 digits.
        EXPECT_NEAR(got[i], (x[i] - mean) / std::sqrt(squares + 1e-6) * weight[i] + bias[i], 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace nn::onednn
