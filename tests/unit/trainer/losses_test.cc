#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "trainer/losses/detection_losses.h"
#include "trainer/losses/mask_losses.h"

namespace trainer {
namespace {

constexpr double kLn2 = 0.693147;
constexpr double kTolerance = 1e-5;  // a few float32 roundings of numbers near 1

double Value(const at::Tensor& scalar) { return scalar.item<double>(); }

// Logit 0 is probability 1/2. Background: ln 2 · (1/2)². A soft label of 0.75: cross entropy is ln
// 2 again, · (1/4)².
TEST(QualityFocalLossTest, ByHand) {
  const at::Tensor loss =
      QualityFocalLoss(at::zeros({1, 2}), at::tensor({0.0F, 0.75F}).view({1, 2}));
  EXPECT_NEAR(Value(loss[0]), kLn2 * (0.25 + 0.0625), kTolerance);
}

TEST(QualityFocalLossTest, IsZeroWhereTheScoreEqualsTheLabel) {
  const at::Tensor loss = QualityFocalLoss(at::zeros({1, 1}), at::full({1, 1}, 0.5));
  EXPECT_NEAR(Value(loss[0]), 0, kTolerance);
}

// Two 2 × 2 boxes, one pixel of overlap: IoU 1/7; their hull is 3 × 3, of which 2 are in neither.
TEST(GiouLossTest, ByHand) {
  const at::Tensor loss = GiouLoss(at::tensor({0.0F, 0.0F, 2.0F, 2.0F}).view({1, 4}),
                                   at::tensor({1.0F, 1.0F, 3.0F, 3.0F}).view({1, 4}));
  EXPECT_NEAR(Value(loss[0]), 1 - (1.0 / 7 - 2.0 / 9), kTolerance);
}

TEST(GiouLossTest, StillPullsBoxesThatDoNotTouch) {
  at::Tensor box = at::tensor({0.0F, 0.0F, 1.0F, 1.0F}).view({1, 4}).requires_grad_();
  GiouLoss(box, at::tensor({3.0F, 0.0F, 4.0F, 1.0F}).view({1, 4})).sum().backward();
  EXPECT_LT(Value(box.grad()[0][2]), 0);  // moving x_max to the right helps
}

// p = 1/2 everywhere: ln 2 · 1/4 · alpha, with alpha 0.25 for the object's pixel and 0.75 for the
// other three.
TEST(SigmoidFocalLossTest, ByHand) {
  const at::Tensor target = at::tensor({1.0F, 0.0F, 0.0F, 0.0F}).view({2, 2});
  EXPECT_NEAR(Value(SigmoidFocalLoss(at::zeros({2, 2}), target)), kLn2 / 4 * (0.25 + 3 * 0.75) / 4,
              kTolerance);
}

// Overlap 1/2, sums 2 and 1: 1 - (2 · 1/2 + 1) / (2 + 1 + 1).
TEST(DiceLossTest, ByHand) {
  const at::Tensor target = at::tensor({1.0F, 0.0F, 0.0F, 0.0F}).view({2, 2});
  EXPECT_NEAR(Value(DiceLoss(at::zeros({2, 2}), target)), 0.5, kTolerance);
}

// However small the object, its pixel weighs half.
TEST(BalancedCrossEntropyTest, WeighsTheObjectLikeEverythingElse) {
  at::Tensor target = at::zeros({4, 4});
  target[0][0] = 1;
  at::Tensor logits = at::zeros({4, 4}).requires_grad_();
  BalancedCrossEntropy(logits, target).backward();
  EXPECT_NEAR(Value(logits.grad()[0][0]), -0.25, kTolerance);  // (1/2 - 1) · 1/2
  EXPECT_NEAR(Value(logits.grad().sum()), 0, kTolerance);
}

TEST(MaskIouTest, ByHand) {
  const at::Tensor target = at::tensor({1.0F, 1.0F, 0.0F, 0.0F}).view({2, 2});
  const at::Tensor logits = at::tensor({1.0F, -1.0F, 1.0F, -1.0F}).view({2, 2});
  EXPECT_NEAR(Value(MaskIou(logits, target)), 1.0 / 3, kTolerance);
  EXPECT_NEAR(Value(MaskIou(-at::ones({2, 2}), at::zeros({2, 2}))), 1, kTolerance);
}

}  // namespace
}  // namespace trainer
