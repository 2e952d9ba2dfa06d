#include "trainer/segmenter/simulated_prompts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/core.hpp>

namespace trainer {
namespace {

using segmenter::FitInput;
using segmenter::Framing;
using segmenter::InputGeometry;

cv::Mat Filled(cv::Size size, cv::Rect object) {
  cv::Mat mask = cv::Mat::zeros(size, CV_8UC1);
  mask(object).setTo(255);
  return mask;
}

// A 200 x 100 image fills the upper half of a square input. A low-res pixel is 25 image pixels.
TEST(CoverageOfTest, IsTheShareOfEachLowResPixelAndZeroInThePadding) {
  const InputGeometry geometry = FitInput({200, 100}, 64);
  const cv::Mat coverage =
      CoverageOf(Filled({200, 100}, {25, 50, 50, 40}), geometry, /*low_res_size=*/8);
  EXPECT_FLOAT_EQ(coverage.at<float>(2, 1), 1);
  EXPECT_FLOAT_EQ(coverage.at<float>(2, 2), 1);
  EXPECT_NEAR(coverage.at<float>(3, 1), 0.6, 0.01);  // 15 of 25 rows
  EXPECT_FLOAT_EQ(coverage.at<float>(2, 0), 0);
  EXPECT_NEAR(cv::sum(coverage)[0], 50 * 40 / 625.0, 0.02);
  EXPECT_EQ(cv::countNonZero(coverage.rowRange(4, 8)), 0);
}

TEST(CoverageOfTest, LeavesTheMaskOfASquareImageAlone) {
  const cv::Mat mask = Filled({64, 64}, {8, 8, 24, 32});
  const cv::Mat coverage = CoverageOf(mask, FitInput({64, 64}, 64), 32);
  EXPECT_EQ(cv::countNonZero(mask), 24 * 32);
  EXPECT_NEAR(cv::sum(coverage)[0], 24 * 32 / 4.0, 1e-4);
}

TEST(CoverageOfTest, StretchesWhereTheInputIsStretched) {
  const InputGeometry geometry = FitInput({200, 100}, 64, Framing::kStretch);
  const cv::Mat coverage = CoverageOf(Filled({200, 100}, {0, 50, 100, 50}), geometry, 8);
  EXPECT_FLOAT_EQ(coverage.at<float>(4, 0), 1);
  EXPECT_FLOAT_EQ(coverage.at<float>(7, 3), 1);
  EXPECT_NEAR(cv::sum(coverage)[0], 16, 1e-4);
}

// 100 x 40 image pixels are 400 x 160 input pixels: deviations of 20, which is also the most, and
// 16 pixels.
TEST(BoxPromptTest, IsTheBoxWithNoise) {
  const InputGeometry geometry = FitInput({256, 256}, 1024);
  const cv::Mat mask = Filled({256, 256}, {50, 60, 100, 40});
  Random random(1);
  double sum = 0, squares = 0, furthest = 0, height = 0;
  constexpr int kBoxes = 2000;
  for (int i = 0; i < kBoxes; ++i) {
    const segmenter::Prompt prompt = BoxPrompt(random, mask, geometry);
    EXPECT_TRUE(prompt.points.empty());
    const double left = prompt.box->x_min - 200, top = prompt.box->y_min - 240;
    sum += left;
    furthest = std::max(furthest, std::abs(left));
    squares += top * top;
    height += prompt.box->y_max - prompt.box->y_min;
  }
  EXPECT_NEAR(sum / kBoxes, 0, 1.5);
  EXPECT_NEAR(furthest, 20, 1e-3);
  // Normal noise of 16 whose tails beyond 20 are moved to 20 has a deviation of 13.6.
  EXPECT_NEAR(std::sqrt(squares / kBoxes), 13.6, 0.7);
  EXPECT_NEAR(height / kBoxes, 160, 1.5);
}

TEST(BoxPromptTest, TheMostNoiseIsAShareOfTheInput) {
  EXPECT_FLOAT_EQ(MostBoxNoise(FitInput({256, 256}, 1024)), 20);
  EXPECT_FLOAT_EQ(MostBoxNoise(FitInput({640, 480}, 256)), 5);
}

TEST(ClickPromptTest, IsInsideOfTheObject) {
  const InputGeometry geometry = FitInput({256, 128}, 1024);
  const cv::Mat mask = Filled({256, 128}, {50, 60, 3, 2});
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    const segmenter::Prompt prompt = ClickPrompt(random, mask, geometry);
    ASSERT_EQ(prompt.points.size(), 1u);
    EXPECT_EQ(prompt.points[0].label, 1);
    EXPECT_GE(prompt.points[0].at.x, 200);
    EXPECT_LE(prompt.points[0].at.x, 208);  // the left edge of pixel 52, in input pixels
    EXPECT_GE(prompt.points[0].at.y, 240);
    EXPECT_LE(prompt.points[0].at.y, 244);
  }
}

class CorrectiveClickTest : public testing::Test {
 protected:
  segmenter::PromptPoint Click() { return CorrectiveClick(random_, logits_, coverage_, geometry_); }

  const InputGeometry geometry_ = FitInput({100, 50}, 64);  // a low-res pixel is 8 input pixels
  cv::Mat coverage_ = cv::Mat::zeros(8, 8, CV_32FC1);
  cv::Mat logits_ = cv::Mat(8, 8, CV_32FC1, cv::Scalar(-1));
  Random random_{1};
};

TEST_F(CorrectiveClickTest, IsForegroundWhereTheObjectIsMissed) {
  coverage_.at<float>(1, 2) = 0.75f;
  const segmenter::PromptPoint click = Click();
  EXPECT_EQ(click.label, 1);
  // The pixel's centre at (20, 12), as SAM's API has it.
  EXPECT_FLOAT_EQ(click.at.x, 19.5f);
  EXPECT_FLOAT_EQ(click.at.y, 11.5f);
}

TEST_F(CorrectiveClickTest, IsBackgroundWhereTheAnswerIsTooLarge) {
  coverage_.at<float>(1, 2) = 1;
  logits_.at<float>(1, 2) = logits_.at<float>(3, 5) = 2;
  const segmenter::PromptPoint click = Click();
  EXPECT_EQ(click.label, 0);
  EXPECT_FLOAT_EQ(click.at.x, 43.5f);
  EXPECT_FLOAT_EQ(click.at.y, 27.5f);
}

// Nobody can click on the padding, whatever the answer there.
TEST_F(CorrectiveClickTest, IsOnTheImage) {
  logits_.rowRange(4, 8).setTo(3);
  coverage_.at<float>(0, 0) = 1;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Click().label, 1);
}

TEST_F(CorrectiveClickTest, IsOnTheObjectIfNothingIsWrong) {
  coverage_.at<float>(2, 2) = 1;
  logits_.at<float>(2, 2) = 1;
  EXPECT_EQ(Click().label, 1);
  EXPECT_FLOAT_EQ(Click().at.x, 19.5f);
}

TEST_F(CorrectiveClickTest, FindsAnObjectThatCoversNoPixelByHalf) {
  coverage_.at<float>(3, 1) = 0.1f;
  const segmenter::PromptPoint click = Click();
  EXPECT_EQ(click.label, 1);
  EXPECT_FLOAT_EQ(click.at.x, 11.5f);
}

}  // namespace
}  // namespace trainer
