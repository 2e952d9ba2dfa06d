#include "segmenter_service/inference/preprocess.h"

#include <gmock/gmock.h>

#include <vector>

#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

TEST(FitInputTest, ScalesTheLongestSideAndRoundsHalfUp) {
  EXPECT_EQ(FitInput({1920, 1080}, 1024)->resized, (vision::Size{1024, 576}));
  EXPECT_EQ(FitInput({300, 400}, 1024)->resized, (vision::Size{768, 1024}));
  EXPECT_EQ(FitInput({1024, 2}, 512)->resized, (vision::Size{512, 1}));
  EXPECT_EQ(FitInput({2048, 3}, 1024)->resized, (vision::Size{1024, 2}));  // 1.5
}

TEST(FitInputTest, RefusesAPictureThatWouldVanish) {
  EXPECT_THAT(FitInput({5000, 2}, 1024),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5000x2")));
}

TEST(FitInputTest, StretchesOverAllOfTheInput) {
  const absl::StatusOr<InputGeometry> geometry = FitInput({2000, 500}, 1024, Framing::kStretch);
  ASSERT_THAT(geometry, duet_testing::IsOk());
  EXPECT_EQ(geometry->resized, (vision::Size{1024, 1024}));
  const vision::Point corner = geometry->ToInput({2000, 250});
  EXPECT_EQ(corner.x, 1024);
  EXPECT_EQ(corner.y, 512);
}

TEST(ResizeToInputTest, StretchingRoundsNothing) {
  cv::Mat two(1, 2, CV_8UC3, cv::Scalar(0, 0, 0));
  two.at<cv::Vec3b>(0, 1) = {255, 255, 255};
  const InputGeometry geometry = FitInput({2, 1}, 4, Framing::kStretch).value();

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
