#include "vision/image_codec.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace vision {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

// tests/data/images is made by tools/make_codec_fixtures.py.
std::string Fixture(const std::string& name) {
  return duet_testing::ReadFile(DUET_TEST_DATA "/images/" + name);
}

cv::Mat OpenCvDecode(const std::string& bytes) {
  return cv::imdecode(std::vector<std::uint8_t>(bytes.begin(), bytes.end()), cv::IMREAD_COLOR);
}

// Largest difference of any value; 255 if the sizes differ.
double Difference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) return 255;
  return cv::norm(a, b, cv::NORM_INF);
}

auto IsInvalid(const std::string& part) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(part));
}

class OrientationTest : public testing::TestWithParam<std::string> {};

TEST_P(OrientationTest, EveryOrientationComesOutUpright) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const std::string bytes = Fixture("o" + std::to_string(orientation) + GetParam());
    ASSERT_OK_AND_ASSIGN(const ImageHeader header, ReadImageHeader(bytes, {}));
    ASSERT_OK_AND_ASSIGN(const cv::Mat image, DecodeImage(bytes, {}));

    EXPECT_EQ(header.orientation, orientation);
    EXPECT_EQ(header.size, (Size{48, 32}));
    ASSERT_EQ(image.size(), cv::Size(48, 32));
    // Blue, green, red; JPEG is off by a few.
    const auto color_at = [&](int x, int y) {
      const cv::Vec3b bgr = image.at<cv::Vec3b>(y, x);
      return std::vector<bool>{bgr[2] > 127, bgr[1] > 127, bgr[0] > 127};
    };
    EXPECT_EQ(color_at(8, 8), (std::vector<bool>{true, false, false}));
    EXPECT_EQ(color_at(40, 8), (std::vector<bool>{false, true, false}));
    EXPECT_EQ(color_at(8, 24), (std::vector<bool>{false, false, true}));
    EXPECT_EQ(color_at(40, 24), (std::vector<bool>{true, true, true}));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, OrientationTest, testing::Values(".jpg", ".png", ".tif"));

TEST(ImageCodecTest, OrientationThatChromiumIgnoresIsIgnored) {
  EXPECT_EQ(ReadImageHeader(Fixture("exif_after.png"), {})->orientation, 1);
  EXPECT_EQ(ReadImageHeader(Fixture("exif.webp"), {})->orientation, 1);
  EXPECT_EQ(DecodeImage(Fixture("exif_after.png"), {})->size(), cv::Size(48, 32));
  EXPECT_EQ(DecodeImage(Fixture("exif.webp"), {})->size(), cv::Size(48, 32));
}

class SamePixelsAsOpenCvTest : public testing::TestWithParam<std::string> {};

TEST_P(SamePixelsAsOpenCvTest, ToTheBit) {
  const std::string bytes = Fixture(GetParam());
  ASSERT_OK_AND_ASSIGN(const cv::Mat image, DecodeImage(bytes, {}));
  EXPECT_EQ(Difference(image, OpenCvDecode(bytes)), 0);
  EXPECT_EQ(image.type(), CV_8UC3);
  EXPECT_EQ(ReadImageHeader(bytes, {})->size, (Size{53, 37}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, SamePixelsAsOpenCvTest,
                         testing::Values("rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg",
                                         "rgb.png", "grey.png", "palette.png", "bits.png",
                                         "alpha.png", "deep.png", "rgb.webp", "lossless.webp",
                                         "alpha.webp", "rgb.bmp", "palette.bmp", "rgb.tif",
                                         "deflate.tif", "jpeg.tif", "alpha.tif", "grey_deep.tif"));

// alpha.tif is not among them: libtiff multiplies by alpha, and OpenCV takes what it gets.
TEST(ImageCodecTest, LosslessFormatsHoldTheSamePixels) {
  ASSERT_OK_AND_ASSIGN(const cv::Mat expected, DecodeImage(Fixture("rgb.png"), {}));
  for (const char* name : {"alpha.png", "deep.png", "lossless.webp", "alpha.webp", "rgb.bmp",
                           "rgb.tif", "deflate.tif"}) {
    SCOPED_TRACE(name);
    ASSERT_OK_AND_ASSIGN(const cv::Mat image, DecodeImage(Fixture(name), {}));
    EXPECT_EQ(Difference(image, expected), 0);
  }
}

TEST(ImageCodecTest, WhatIsNoPictureIsNamed) {
  EXPECT_THAT(DecodeImage("", {}), IsInvalid("empty"));
  EXPECT_THAT(DecodeImage("<html><body>404</body></html>", {}),
              IsInvalid("not a JPEG, PNG, WebP, BMP or TIFF image: 29 bytes that start with 3c 68 "
                        "74 6d 6c 3e 3c 62"));
  EXPECT_THAT(DecodeImage("GIF89a..............", {}), IsInvalid("not a JPEG"));
}

TEST(ImageCodecTest, LimitsHoldBeforeAnythingIsDecoded) {
  EXPECT_THAT(DecodeImage(Fixture("bad_huge.png"), {}),
              IsInvalid("the png has 30000x30000 pixels; 1 to 100000000 are allowed"));
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_bytes = 100}), IsInvalid("at most 100 are"));
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_pixels = 53 * 37}), IsOk());
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_pixels = 53 * 37 - 1}),
              IsInvalid("the jpeg has 53x37 pixels"));
}

class DamagedTest : public testing::TestWithParam<std::string> {};

TEST_P(DamagedTest, CutOffAnywhereIsAnError) {
  const std::string bytes = Fixture(GetParam());
  // The last two bytes of a JPEG only mark the end; cut_tail is what may be lost without losing
  // pixels.
  const std::size_t cut_tail = GetParam() == "rgb.jpg" || GetParam() == "cmyk.jpg" ? 2 : 0;
  for (std::size_t length = 0; length + cut_tail < bytes.size(); ++length) {
    const std::string cut = bytes.substr(0, length);
    const auto image = DecodeImage(cut, {});
    ASSERT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument)) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, DamagedTest,
                         testing::Values("rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png",
                                         "alpha.png", "rgb.webp", "lossless.webp", "rgb.bmp"));

TEST(ImageCodecTest, NothingIsPrinted) {
  testing::internal::CaptureStderr();
  for (const char* name : {"rgb.jpg", "progressive.jpg", "rgb.png", "rgb.webp", "rgb.bmp"}) {
    const std::string bytes = Fixture(name);
    (void)DecodeImage(bytes.substr(0, bytes.size() * 2 / 3), {});
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// Any bytes give an image or an error; under ASan this is a short run of the fuzz target.
TEST(ImageCodecTest, FlippedBytesNeverCrash) {
  for (const char* name : {"o6.jpg", "progressive.jpg", "cmyk.jpg", "o6.png", "palette.png",
                           "rgb.webp", "palette.bmp", "deflate.tif", "o6.tif"}) {
    const std::string bytes = Fixture(name);
    for (std::size_t at = 0; at < bytes.size(); at += 7) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(~flipped[at]);
      // Small, so that a flipped size doesn't take a second to fill.
      const auto image = DecodeImage(flipped, {.max_pixels = 1 << 16});
      if (image.ok()) {
        EXPECT_EQ(image->type(), CV_8UC3);
      }
    }
  }
}

}  // namespace
}  // namespace vision
