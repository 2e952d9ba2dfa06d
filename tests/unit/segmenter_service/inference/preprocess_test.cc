#include "segmenter_service/inference/preprocess.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace segmenter {
namespace {

TEST(FitInputTest, ScalesTheLongestSideAndRoundsHalfUp) {
  EXPECT_EQ(FitInput({1920, 1080}, 1024).resized, (vision::Size{1024, 576}));
  EXPECT_EQ(FitInput({300, 400}, 1024).resized, (vision::Size{768, 1024}));
  EXPECT_EQ(FitInput({1024, 2}, 512).resized, (vision::Size{512, 1}));
  EXPECT_EQ(FitInput({2048, 3}, 1024).resized, (vision::Size{1024, 2}));  // 1.5
}

TEST(FitInputTest, NoSideVanishes) {
  EXPECT_EQ(FitInput({5000, 2}, 1024).resized, (vision::Size{1024, 1}));
  for (const cv::Size size : {cv::Size(5000, 1), cv::Size(1, 5000), cv::Size(1, 1)}) {
    for (const Framing framing : {Framing::kLongestSide, Framing::kStretch}) {
      SCOPED_TRACE(testing::Message() << size.width << "x" << size.height);
      const cv::Mat image(size, CV_8UC3, cv::Scalar(10, 120, 230));
      const InputGeometry geometry = FitInput({size.width, size.height}, 64, framing);

      std::vector<float> input(3 * 64 * 64);
      NormalizeAndPad(ResizeToInput(image, geometry), geometry, input.data());
      // The red plane's first pixel, and whether all of it is finite.
      EXPECT_NEAR(input[0], (230 - 123.675) / 58.395, 1e-4);
      EXPECT_TRUE(
          std::all_of(input.begin(), input.end(), [](float v) { return std::isfinite(v); }));

      const vision::Point corner =
          geometry.ToInput({static_cast<float>(size.width), static_cast<float>(size.height)});
      EXPECT_NEAR(corner.x, geometry.resized.width, 1e-3);
      EXPECT_NEAR(corner.y, geometry.resized.height, 1e-3);

      // Logits that are positive everywhere cover the whole image.
      const std::vector<float> logits(16 * 16, 1.0f);
      const vision::Mask mask = MakeMaskRenderer(geometry, 16).Render(logits).mask;
      EXPECT_EQ(vision::Area(mask), std::int64_t{size.width} * size.height);
    }
  }
}

TEST(FitInputTest, StretchesOverAllOfTheInput) {
  const InputGeometry geometry = FitInput({2000, 500}, 1024, Framing::kStretch);
  EXPECT_EQ(geometry.resized, (vision::Size{1024, 1024}));
  const vision::Point corner = geometry.ToInput({2000, 250});
  EXPECT_EQ(corner.x, 1024);
  EXPECT_EQ(corner.y, 512);
}

TEST(ResizeToInputTest, StretchingRoundsNothing) {
  cv::Mat two(1, 2, CV_8UC3, cv::Scalar(0, 0, 0));
  two.at<cv::Vec3b>(0, 1) = {255, 255, 255};
  const InputGeometry geometry = FitInput({2, 1}, 4, Framing::kStretch);

  const cv::Mat resized = ResizeToInput(two, geometry);

  ASSERT_EQ(resized.type(), CV_32FC3);
  for (int y = 0; y < 4; ++y) {
    const float want[4] = {0.0f, 0.25f, 0.75f, 1.0f};
    for (int x = 0; x < 4; ++x) EXPECT_FLOAT_EQ(resized.at<cv::Vec3f>(y, x)[1], want[x]);
  }
}

TEST(NormalizeAndPadTest, WritesPlanesOfRedGreenBlueAndExactZerosBeside) {
  const InputGeometry geometry{{1, 1}, {1, 1}, 2};
  cv::Mat pixel(1, 1, CV_8UC3, cv::Scalar(/*blue=*/255, /*green=*/0, /*red=*/100));
  std::vector<float> planes(3 * 2 * 2, -1.0f);

  NormalizeAndPad(pixel, geometry, planes.data());

  EXPECT_EQ(planes[0], (100.0f - 123.675f) / 58.395f);
  EXPECT_EQ(planes[4], (0.0f - 116.28f) / 57.12f);
  EXPECT_EQ(planes[8], (255.0f - 103.53f) / 57.375f);
  for (const int padding : {1, 2, 3, 5, 6, 7, 9, 10, 11}) EXPECT_EQ(planes[padding], 0.0f);
}

}  // namespace
}  // namespace segmenter
