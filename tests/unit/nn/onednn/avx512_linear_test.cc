#include "nn/onednn/avx512_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace nn::onednn {
namespace {

struct Case {
  std::int64_t rows, in, out;
};

std::vector<float> Random(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> values;
  std::vector<float> out(count);
  for (float& v : out) v = values(generator);
  return out;
}

// Around what a tile (6 rows), a register (16 columns), a panel (64), a piece of the inner
// dimension (128) and a chunk of rows (128) hold.
class Avx512LinearTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!Avx512Linear::Supported()) GTEST_SKIP() << "no AVX-512 on this CPU";
  }
};

TEST_P(Avx512LinearTest, EqualsDoublePrecision) {
  const auto [rows, in, out] = GetParam();
  const std::vector<float> x = Random(rows * in, 1), weight = Random(out * in, 2);
  const std::vector<float> bias = Random(out, 3), before = Random(rows * out, 4);
  for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kGelu, Epilogue::kAddToOutput}) {
    for (const bool with_bias : {true, false}) {
      const Avx512Linear linear(weight.data(), with_bias ? bias.data() : nullptr, in, out,
                                epilogue);
      std::vector<float> y = before;

      linear.Run(x.data(), rows, y.data(), /*threads=*/2);

      for (std::int64_t i = 0; i < rows * out; ++i) {
        const std::int64_t r = i / out, c = i % out;
        double want = with_bias ? bias[c] : 0;
        for (std::int64_t k = 0; k < in; ++k) {
          want += static_cast<double>(x[r * in + k]) * weight[c * in + k];
        }
        if (epilogue == Epilogue::kGelu) want *= 0.5 * std::erfc(-want / std::sqrt(2.0));
        if (epilogue == Epilogue::kAddToOutput) want += before[i];
        // A sum of `in` products of values around 1 is around √in, each addition rounds by 6e-8 of
        // it, and roundings add up like a random walk: 6e-8 · in, five times that for the worst.
        ASSERT_NEAR(y[i], want, 3e-7 * static_cast<double>(in) + 1e-6)
            << static_cast<int>(epilogue) << " row " << r << ", column " << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Avx512LinearTest,
                         testing::Values(Case{1, 1, 1}, Case{5, 7, 15}, Case{6, 16, 16},
                                         Case{7, 128, 48}, Case{13, 129, 64}, Case{12, 64, 65},
                                         Case{129, 40, 100}, Case{300, 320, 80}));

}  // namespace
}  // namespace nn::onednn
