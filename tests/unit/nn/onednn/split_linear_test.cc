#include "nn/onednn/split_linear.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "nn/onednn/cpu.h"

namespace nn::onednn {
namespace {

class SplitLinearTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
    at::manual_seed(7);
  }
};

at::Tensor Multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                    at::Tensor y, Epilogue epilogue) {
  SplitLinear linear(weight.data_ptr<float>(), bias.defined() ? bias.data_ptr<float>() : nullptr,
                     x.size(1), weight.size(0), x.size(0), epilogue, /*threads=*/2);
  linear.Run(x.data_ptr<float>(), y.data_ptr<float>());
  return y;
}

double Rms(const at::Tensor& x) { return x.to(at::kDouble).square().mean().sqrt().item<double>(); }

TEST_F(SplitLinearTest, ErrorIsSmallAtAnyDepth) {
  for (const std::int64_t depth : {1, 3, 64, 768, 3072, 20000}) {
    const at::Tensor x = at::randn({33, depth}), weight = at::randn({40, depth});
    const at::Tensor bias = at::randn({40});

    const at::Tensor got = Multiply(x, weight, bias, at::empty({33, 40}), Epilogue::kNone);

    const at::Tensor want = x.to(at::kDouble).mm(weight.to(at::kDouble).t()) + bias;
    // What is left out, low · low, is 2^-18 of a product at most, and a remainder's own rounding as
    // much: some 4e-6, which averages out as the sum itself does.
    EXPECT_LT(Rms(got - want) / Rms(want), 1e-5) << depth;
    // bf16 alone is far from that: the test could see a part that is missing.
    const at::Tensor half = x.to(at::kBFloat16).to(at::kDouble).mm(weight.to(at::kDouble).t());
    EXPECT_GT(Rms(half + bias - want) / Rms(want), 1e-4) << depth;
  }
}

TEST_F(SplitLinearTest, EpiloguesAreThoseOfALinearLayer) {
  const at::Tensor x = at::randn({17, 96}), weight = at::randn({50, 96}) / std::sqrt(96.0);
  const at::Tensor before = at::randn({17, 50});
  const at::Tensor product = x.to(at::kDouble).mm(weight.to(at::kDouble).t());

  const at::Tensor gelu = Multiply(x, weight, {}, before.clone(), Epilogue::kGelu);
  const at::Tensor sum = Multiply(x, weight, {}, before.clone(), Epilogue::kAddToOutput);

  EXPECT_LT(Rms(gelu - at::gelu(product)), 1e-5);
  EXPECT_LT(Rms(sum - (before + product)), 1e-5);
}

TEST_F(SplitLinearTest, WhatIsNotFiniteIsSeenInItsRowAlone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor({1e38F, kInfinity, -kInfinity, 3e38F}).view({4, 1});

  const at::Tensor y = Multiply(x, at::ones({1, 1}), {}, at::empty({4, 1}), Epilogue::kNone);

  EXPECT_NEAR(y[0].item<double>(), 1e38, 1e33);
  EXPECT_FALSE(std::isfinite(y[1].item<float>()));
  EXPECT_FALSE(std::isfinite(y[2].item<float>()));
  EXPECT_NEAR(y[3].item<double>(), 3e38, 1e34);
}

TEST_F(SplitLinearTest, LayersArePackedAsTheProcessAllows) {
  const at::Tensor x = at::randn({64, 256}), weight = at::randn({64, 256});
  const auto error = [&](SplitProducts which, bool may_split = true) {
    AllowSplitProducts(which);
    PackedLinear linear(weight, {}, {.rows = 64, .may_split = may_split});
    AllowSplitProducts(SplitProducts::kWhereFaster);
    at::Tensor y = at::empty({64, 64});
    linear.Run(x.data_ptr<float>(), y.data_ptr<float>());
    const at::Tensor want = x.to(at::kDouble).mm(weight.to(at::kDouble).t());
    return Rms(y - want) / Rms(want);
  };

  EXPECT_LT(error(SplitProducts::kNever), 7e-7);
  EXPECT_GT(error(SplitProducts::kAlways), 7e-7);
  EXPECT_LT(error(SplitProducts::kAlways, /*may_split=*/false), 7e-7);
  if (!CpuHasAmx()) {
    EXPECT_LT(error(SplitProducts::kWhereFaster), 7e-7);
  }
}

}  // namespace
}  // namespace nn::onednn
