#include "vision/mask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <opencv2/core.hpp>

#include "tests/unit/vision/mask_fixtures.h"

namespace vision {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MaskTest, SpansAreTheForegroundOfEveryRow) {
  const Mask mask = MaskOf({"....",  //
                            "##.#",  //
                            "####"});

  EXPECT_EQ(mask.size, (Size{4, 3}));
  EXPECT_THAT(mask.spans, ElementsAre(Span{1, 0, 2}, Span{1, 3, 4}, Span{2, 0, 4}));
}

// Widths around the 64 pixels that are scanned at once.
TEST(MaskTest, PixelsComeBackAtAnyWidthAndRowPadding) {
  for (const int width : {1, 2, 63, 64, 65, 127, 128, 129, 200}) {
    for (const double density : {0.0, 0.02, 0.5, 0.98, 1.0}) {
      const cv::Mat padded = Noise(width + 3, 7, density, static_cast<unsigned>(width));
      const cv::Mat pixels = padded(cv::Rect(1, 0, width, 7));

      const Mask mask = MaskFromPixels(pixels);

      EXPECT_EQ(cv::countNonZero((pixels != 0) != ToPixels(mask)), 0) << width << " " << density;
      EXPECT_EQ(Area(mask), cv::countNonZero(pixels));
    }
  }
}

TEST(MaskTest, ValuesAreForegroundAboveTheThreshold) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const cv::Mat values = (cv::Mat_<float>(1, 5) << 0.5f, 0.51f, nan, -1.0f, 9.0f);

  EXPECT_THAT(MaskFromValues(values, 0.5f).spans, ElementsAre(Span{0, 1, 2}, Span{0, 4, 5}));
}

TEST(MaskTest, ValuesAndPixelsAgreeAtAnyWidth) {
  for (const int width : {5, 63, 64, 65, 130}) {
    const cv::Mat pixels = Noise(width, 5, 0.4, static_cast<unsigned>(width));
    cv::Mat values;
    pixels.convertTo(values, CV_32F, 1, -100);

    EXPECT_EQ(MaskFromValues(values, 0), MaskFromPixels(pixels)) << width;
  }
}

TEST(MaskTest, BoxIsTightAndHalfOpen) {
  EXPECT_EQ(TightBox(MaskOf({"......",     //
                             "..#...",     //
                             ".....#"})),  //
            (Box{2, 1, 6, 3}));
  EXPECT_EQ(TightBox(MaskOf({"...", "..."})), Box{});
}

TEST(MaskTest, TransposeIsOpenCvs) {
  for (const double density : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    const cv::Mat pixels = Noise(37, 23, density, 5);

    const Mask transposed = Transpose(MaskFromPixels(pixels));

    EXPECT_EQ(transposed, MaskFromPixels(pixels.t())) << density;
  }
}

TEST(MaskTest, TransposeKeepsRowsThatAreFarApart) {
  const Mask mask = MaskOf({"#.", "..", "..", "##", "..", "##"});

  EXPECT_THAT(Transpose(mask).spans, ElementsAre(Span{0, 0, 1}, Span{0, 3, 4}, Span{0, 5, 6},
                                                 Span{1, 3, 4}, Span{1, 5, 6}));
}

TEST(MaskTest, AnEmptyMaskHasNothing) {
  const Mask mask = MaskOf({"...", "..."});

  EXPECT_EQ(Area(mask), 0);
  EXPECT_THAT(Transpose(mask).spans, IsEmpty());
  EXPECT_EQ(Transpose(mask).size, (Size{2, 3}));
}

}  // namespace
}  // namespace vision
