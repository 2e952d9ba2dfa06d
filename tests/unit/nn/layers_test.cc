#include "nn/layers.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <functional>
#include <string>

#include "nn/batch_norm_fold.h"

namespace nn {
namespace {

using MakeModule = std::function<std::shared_ptr<torch::nn::Module>()>;

// From one seed, both start with the same names and numbers, to the bit.
void ExpectEqual(const MakeModule& make_ours, const MakeModule& make_torchs) {
  at::manual_seed(5);
  const auto ours = make_ours()->named_parameters();
  at::manual_seed(5);
  const auto theirs = make_torchs()->named_parameters();
  EXPECT_EQ(ours.keys(), theirs.keys());
  for (const auto& item : theirs) {
    EXPECT_TRUE(at::equal(ours[item.key()], item.value())) << item.key();
  }
}

TEST(LayersTest, StartWithTheNumbersOfTorchsLayers) {
  for (const int width : {3, 7, 64, 1000}) {
    ExpectEqual([&] { return Linear(width, 5).ptr(); },
                [&] { return torch::nn::Linear(width, 5).ptr(); });
    ExpectEqual(
        [&] {
          return Conv2d(Conv2dOptions{.in_channels = width, .out_channels = 6, .kernel_size = 3})
              .ptr();
        },
        [&] { return torch::nn::Conv2d(torch::nn::Conv2dOptions(width, 6, 3)).ptr(); });
    ExpectEqual(
        [&] { return ConvTranspose2d(width, 6, 2).ptr(); },
        [&] {
          using torch::nn::ConvTranspose2dOptions;
          return torch::nn::ConvTranspose2d(ConvTranspose2dOptions(width, 6, 2).stride(2)).ptr();
        });
    ExpectEqual([&] { return Embedding(4, width).ptr(); },
                [&] { return torch::nn::Embedding(4, width).ptr(); });
    ExpectEqual([&] { return LayerNorm(width).ptr(); },
                [&] { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})).ptr(); });
  }
}

TEST(LayersTest, LayerNorm2dNormalizesEachPixelOverItsChannels) {
  const at::Tensor x = at::randn({2, 8, 3, 5});

  const at::Tensor y = LayerNorm2d(8)(x);

  const at::Tensor centred = x - x.mean(1, /*keepdim=*/true);
  const at::Tensor variance = centred.square().mean(1, /*keepdim=*/true);
  EXPECT_TRUE(at::allclose(y, centred / at::sqrt(variance + 1e-6), /*rtol=*/1e-4, /*atol=*/1e-5));
}

// With values so small that the epsilon decides: upstream's numbers, each where it is used.
TEST(LayersTest, NormsAddUpstreamsEpsilonToTheVariance) {
  const at::Tensor x = 1e-3 * at::randn({2, 8, 3, 5});
  const auto normalized = [](const at::Tensor& values, at::IntArrayRef over, double eps) {
    const at::Tensor centred = values - values.mean(over, /*keepdim=*/true);
    return centred / at::sqrt(centred.square().mean(over, /*keepdim=*/true) + eps);
  };
  const auto close = [](const at::Tensor& a, const at::Tensor& b) {
    return at::allclose(a, b, /*rtol=*/1e-4, /*atol=*/1e-5);
  };
  EXPECT_TRUE(close(LayerNorm2d(8)(x), normalized(x, {1}, 1e-6))) << "SAM's LayerNorm2d";
  EXPECT_TRUE(close(LayerNorm(5)(x), normalized(x, {3}, 1e-5))) << "Torch's";
  EXPECT_TRUE(close(LayerNorm(5, 1e-6)(x), normalized(x, {3}, 1e-6)));

  BatchNorm2d norm(8);
  norm->train();
  EXPECT_TRUE(close(norm(x), normalized(x, {0, 2, 3}, 1e-5))) << "Torch's";
  BatchNorm2d yolo(8, 1e-3);
  yolo->train();
  EXPECT_TRUE(close(yolo(x), normalized(x, {0, 2, 3}, 1e-3)));
}

TEST(LayersTest, AFoldedConvolutionEqualsBothLayers) {
  for (const double eps : {1e-5, 1e-3}) {
    Conv2d conv(
        Conv2dOptions{.in_channels = 3, .out_channels = 4, .kernel_size = 3, .bias = false});
    BatchNorm2d norm(4, eps);
    norm->eval();
    {
      const at::NoGradGuard no_grad;
      norm->weight.uniform_(-2, 2);
      norm->bias.uniform_(-1, 1);
      norm->running_mean.uniform_(-1, 1);
      norm->running_var.uniform_(0, 1e-3);  // of the epsilon's size
    }
    const FoldedConv folded = FoldBatchNorm(*conv, *norm);
    const at::Tensor x = at::randn({1, 3, 6, 6});
    EXPECT_TRUE(at::allclose(at::conv2d(x, folded.weight, folded.bias), norm(conv(x)),
                             /*rtol=*/1e-4, /*atol=*/1e-3))
        << eps;
  }
}

}  // namespace
}  // namespace nn
