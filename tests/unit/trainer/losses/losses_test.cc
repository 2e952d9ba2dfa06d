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

// Overlap 1/2, sums 2 and 1: 1 - (2 · 1/2 + 1) / (2 + 1 + 1).
TEST(DiceLossTest, ByHand) {
  const at::Tensor target = at::tensor({1.0F, 0.0F, 0.0F, 0.0F}).view({2, 2});
  EXPECT_NEAR(Value(DiceLoss(at::zeros({2, 2}), target)), 0.5, kTolerance);
}

// An object that covers pixels in part, another one, and the background between them.
struct SixPixels {
  at::Tensor logits = at::tensor({2.0F, -1.5F, 0.25F, -3.0F, 0.5F, 1.0F}).view({2, 3});
  at::Tensor target = at::tensor({1.0F, 0.25F, 0.0F, 0.0F, 0.75F, 0.0F}).view({2, 3});
  at::Tensor others = at::tensor({0.0F, 0.0F, 1.0F, 0.0F, 0.0F, 0.5F}).view({2, 3});
};

// The same formulas in NumPy, in double.
TEST(MaskLossesTest, EqualNumPy) {
  const SixPixels pixels;
  const auto entropy = [&](double balance) {
    return Value(WeightedCrossEntropy(pixels.logits, pixels.target,
                                      PixelWeights(pixels.target, pixels.others, balance)));
  };
  EXPECT_NEAR(entropy(1), 0.55590955, kTolerance);
  EXPECT_NEAR(entropy(0.25), 0.79339115, kTolerance);
  EXPECT_NEAR(Value(DiceLoss(pixels.logits, pixels.target)), 0.37167599, kTolerance);
  EXPECT_NEAR(Value(FocalLoss(pixels.logits, pixels.target)), 0.13465029, kTolerance);
}

TEST(PixelWeightsTest, TheObjectHasHalfTheOthersAndTheBackgroundAQuarterEach) {
  const SixPixels pixels;
  const at::Tensor weights = PixelWeights(pixels.target, pixels.others, /*balance=*/1);
  const at::Tensor background = 1 - pixels.target - pixels.others;
  const auto share = [&](const at::Tensor& part) {
    // A pixel that two of them share has a part of its weight from each; whole pixels tell.
    return Value((weights * part.eq(1)).sum() / part.eq(1).sum()) * Value(part.sum());
  };
  EXPECT_NEAR(share(pixels.target), 0.5, kTolerance);
  EXPECT_NEAR(share(pixels.others), 0.25, kTolerance);
  EXPECT_NEAR(share(background), 0.25, kTolerance);
}

TEST(PixelWeightsTest, UnbalancedAllPixelsCountLikeTheObjects) {
  const SixPixels pixels;
  const at::Tensor weights = PixelWeights(pixels.target, pixels.others, /*balance=*/0);
  EXPECT_NEAR(Value(weights.min()), 0.25, kTolerance);  // 1/2 over an area of 2
  EXPECT_NEAR(Value(weights.max()), 0.25, kTolerance);
}

// No other objects: the weights stay finite, and nothing divides by zero.
TEST(PixelWeightsTest, AnObjectMayBeAlone) {
  const at::Tensor target = at::tensor({1.0F, 0.0F, 0.0F, 0.0F}).view({2, 2});
  const at::Tensor weights = PixelWeights(target, at::zeros({2, 2}), /*balance=*/1);
  EXPECT_NEAR(Value(weights.sum()), 0.75, kTolerance);
}

TEST(MaskIouTest, ByHand) {
  const at::Tensor target = at::tensor({1.0F, 1.0F, 0.0F, 0.0F}).view({2, 2});
  const at::Tensor logits = at::tensor({1.0F, -1.0F, 1.0F, -1.0F}).view({2, 2});
  EXPECT_NEAR(Value(MaskIou(logits, target)), 1.0 / 3, kTolerance);
  EXPECT_NEAR(Value(MaskIou(logits, 0.9 * target)), 1.0 / 3, kTolerance);  // mostly covered
  EXPECT_NEAR(Value(MaskIou(-at::ones({2, 2}), at::zeros({2, 2}))), 1, kTolerance);
}

}  // namespace
}  // namespace trainer
