#include "nn/norm_silu.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <utility>

namespace nn {
namespace {

BatchNorm2d Norm(std::int64_t channels) {
  at::manual_seed(2);
  BatchNorm2d norm(channels, /*eps=*/1e-2, /*momentum=*/0.3);
  const at::NoGradGuard no_grad;
  norm->weight.uniform_(0.5, 1.5);
  norm->bias.uniform_(-1, 1);
  norm->running_mean.uniform_(-1, 1);
  norm->running_var.uniform_(0.5, 1.5);
  norm->train();
  return norm;
}

void ExpectNear(const at::Tensor& a, const at::Tensor& b, const char* what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  // Float32, in another order of sums.
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-5 * b.abs().max().item<double>()) << what;
}

// Channels that are and are not a multiple of a vector, more pixels than a task has, and few.
TEST(BatchNormSiluTest, IsWhatTheTwoAreOneAfterTheOther) {
  for (const auto& [channels, side] : {std::pair(24, 40), std::pair(5, 7), std::pair(16, 33)}) {
    const at::Tensor values = at::randn({3, channels, side, side}) * 2 + 0.5;
    const at::Tensor gradient = at::randn({3, channels, side, side});
    at::Tensor x = values.contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
    at::Tensor x_apart = values.clone().requires_grad_();
    BatchNorm2d fused = Norm(channels);
    BatchNorm2d apart = Norm(channels);

    ASSERT_TRUE(CanFuse(*fused, x));
    const at::Tensor y = BatchNormSilu(*fused, x);
    const at::Tensor y_apart = at::silu(apart->forward(x_apart));
    y.backward(gradient);
    y_apart.backward(gradient);

    ExpectNear(y, y_apart, "y");
    ExpectNear(x.grad(), x_apart.grad(), "gradient of x");
    ExpectNear(fused->weight.grad(), apart->weight.grad(), "gradient of weight");
    ExpectNear(fused->bias.grad(), apart->bias.grad(), "gradient of bias");
    ExpectNear(fused->running_mean, apart->running_mean, "mean");
    ExpectNear(fused->running_var, apart->running_var, "variance");
    EXPECT_EQ(fused->num_batches_tracked.item<int>(), 1);
  }
}

TEST(BatchNormSiluTest, IsForTrainingsWithChannelsInnermost) {
  BatchNorm2d norm = Norm(8);
  const at::Tensor x = at::randn({1, 8, 4, 4});
  const at::Tensor innermost = x.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(CanFuse(*norm, innermost));
  EXPECT_FALSE(CanFuse(*norm, x));
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(CanFuse(*norm, innermost));
  }
  norm->eval();
  EXPECT_FALSE(CanFuse(*norm, innermost));
}

}  // namespace
}  // namespace nn
