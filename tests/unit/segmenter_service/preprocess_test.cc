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
