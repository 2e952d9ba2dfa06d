#include "detector_service/inference/preprocess.h"

#include <gtest/gtest.h>

#include <array>
#include <opencv2/imgproc.hpp>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

cv::Mat Ramp(int width, int height) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at<cv::Vec3b>(y, x) = cv::Vec3b(x * 37 % 256, y * 59 % 256, (x * y) % 256);
    }
  }
  return image;
}

TEST(PreprocessTest, PaddingHasAValueForEachChannel) {
  Placement placement;
  ASSERT_OK_AND_ASSIGN(
      const cv::Mat fitted,
      FitImage(Ramp(64, 32), {.input_size = {64, 64}, .pad_value = {1, 2, 3}}, &placement));

  EXPECT_EQ(fitted.at<cv::Vec3b>(63, 63), cv::Vec3b(1, 2, 3));
  EXPECT_EQ(fitted.at<cv::Vec3b>(1, 1), cv::Vec3b(37, 59, 1));
}

// mmcv hands the name on to cv2.resize.
TEST(PreprocessTest, ResizingIsByTheInterpolationOfTheSettings) {
  const cv::Mat image = Ramp(50, 50);
  const std::pair<Interpolation, int> kFlags[] = {{Interpolation::kNearest, cv::INTER_NEAREST},
                                                  {Interpolation::kBilinear, cv::INTER_LINEAR},
                                                  {Interpolation::kBicubic, cv::INTER_CUBIC},
                                                  {Interpolation::kArea, cv::INTER_AREA},
                                                  {Interpolation::kLanczos, cv::INTER_LANCZOS4}};
  for (const Resize resize : {Resize::kFit, Resize::kStretch}) {
    for (const auto& [interpolation, flag] : kFlags) {
      Placement placement;
      ASSERT_OK_AND_ASSIGN(
          const cv::Mat fitted,
          FitImage(image,
                   {.resize = resize, .input_size = {32, 32}, .interpolation = interpolation},
                   &placement));
      cv::Mat expected;
      cv::resize(image, expected, {32, 32}, 0, 0, flag);
      EXPECT_EQ(cv::norm(fitted, expected, cv::NORM_INF), 0) << flag;
    }
  }
}

}  // namespace
}  // namespace detector
