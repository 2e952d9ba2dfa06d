#include "vision/image_codec.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>
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

// Of an image that is whole.
absl::StatusOr<cv::Mat> PixelsOf(const std::string& bytes) {
  absl::StatusOr<DecodedImage> image = DecodeImage(bytes, {});
  if (!image.ok()) return image.status();
  EXPECT_EQ(image->damage, "");
  return image->pixels;
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
    ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf(bytes));

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
  EXPECT_EQ(PixelsOf(Fixture("exif_after.png"))->size(), cv::Size(48, 32));
  EXPECT_EQ(PixelsOf(Fixture("exif.webp"))->size(), cv::Size(48, 32));
}

class SamePixelsAsOpenCvTest : public testing::TestWithParam<std::string> {};

TEST_P(SamePixelsAsOpenCvTest, ToTheBit) {
  const std::string bytes = Fixture(GetParam());
  ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf(bytes));
  EXPECT_EQ(Difference(image, OpenCvDecode(bytes)), 0);
  EXPECT_EQ(image.type(), CV_8UC3);
  EXPECT_EQ(ReadImageHeader(bytes, {})->size, (Size{53, 37}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, SamePixelsAsOpenCvTest,
                         testing::Values("rgb.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg",
                                         "rgb.png", "grey.png", "palette.png", "bits.png",
                                         "alpha.png", "deep.png", "interlaced.png", "rgb.webp",
                                         "lossless.webp", "alpha.webp", "rgb.bmp", "palette.bmp",
                                         "rgb.tif", "deflate.tif", "jpeg.tif", "alpha.tif",
                                         "grey_deep.tif"));

// What OpenCV doesn't read: a GIF's and an animation's first frame.
class SamePixelsAsPillowTest : public testing::TestWithParam<std::string> {};

TEST_P(SamePixelsAsPillowTest, ToTheBit) {
  const std::string bytes = Fixture(GetParam());
  ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf(bytes));
  const cv::Mat expected = OpenCvDecode(Fixture(GetParam() + ".pillow.png"));
  EXPECT_EQ(Difference(image, expected), 0);
  EXPECT_EQ(ReadImageHeader(bytes, {})->size, (Size{expected.cols, expected.rows}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, SamePixelsAsPillowTest,
                         testing::Values("palette.gif", "interlaced.gif", "animated.gif",
                                         "small_frame.gif", "small_frame_transparent.gif",
                                         "large_frame.gif", "no_screen.gif", "no_palette.gif",
                                         "short_palette.gif", "own_palette.gif", "animated.webp",
                                         "small_frame.webp"));

// alpha.tif is not among them: libtiff multiplies by alpha, and OpenCV takes what it gets.
TEST(ImageCodecTest, LosslessFormatsHoldTheSamePixels) {
  ASSERT_OK_AND_ASSIGN(const cv::Mat expected, PixelsOf(Fixture("rgb.png")));
  for (const char* name : {"alpha.png", "deep.png", "lossless.webp", "alpha.webp", "rgb.bmp",
                           "rgb.tif", "deflate.tif"}) {
    SCOPED_TRACE(name);
    ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf(Fixture(name)));
    EXPECT_EQ(Difference(image, expected), 0);
  }
}

TEST(ImageCodecTest, WhatIsNoPictureIsNamed) {
  EXPECT_THAT(DecodeImage("", {}), IsInvalid("empty"));
  EXPECT_THAT(
      DecodeImage("<html><body>404</body></html>", {}),
      IsInvalid("not a JPEG, PNG, WebP, GIF, BMP or TIFF image: a web page, 29 bytes that start "
                "with 3c 68 74 6d 6c 3e 3c 62"));
  EXPECT_THAT(DecodeImage("something else", {}),
              IsInvalid("GIF, BMP or TIFF image: 14 bytes that start with 73 6f"));
}

TEST(ImageCodecTest, FormatsThatAreNotReadAreNamed) {
  const std::string zeros(3, '\0');
  for (const auto& [bytes, name] : std::vector<std::pair<std::string, std::string>>{
           {zeros + " ftypavif", "an AVIF image"},
           {zeros + "\x18" + "ftypheic", "an HEIC image"},
           {zeros + "\x18" + "ftypmif1", "an HEIF image (HEIC or AVIF)"},
           {zeros + " ftypisom", "a video"},
           {"\xFF\x0A", "a JPEG XL image"},
           {zeros + "\x0CjP  ", "a JPEG 2000 image"},
           {"<svg xmlns=", "an SVG drawing"},
           {"%PDF-1.7", "a PDF document"},
           {std::string(128, '\0') + "DICM", "a DICOM file"}}) {
    EXPECT_THAT(DecodeImage(bytes, {}), IsInvalid("TIFF image: " + name + ", ")) << name;
  }
}

TEST(ImageCodecTest, LimitsHoldBeforeAnythingIsDecoded) {
  EXPECT_THAT(DecodeImage(Fixture("bad_huge.png"), {}),
              IsInvalid("the png has 30000x30000 pixels; 1 to 100000000 are allowed"));
  for (const char* name : {"large_frame.gif", "small_frame.webp"}) {
    const Size size = ReadImageHeader(Fixture(name), {})->size;
    const int pixels = size.width * size.height;
    EXPECT_THAT(DecodeImage(Fixture(name), {.max_pixels = pixels}), IsOk()) << name;
    EXPECT_THAT(DecodeImage(Fixture(name), {.max_pixels = pixels - 1}), IsInvalid(" pixels; "));
  }
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_bytes = 100}), IsInvalid("at most 100 are"));
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_pixels = 53 * 37}), IsOk());
  EXPECT_THAT(DecodeImage(Fixture("rgb.jpg"), {.max_pixels = 53 * 37 - 1}),
              IsInvalid("the jpeg has 53x37 pixels"));
}

// Chromium shows a part of these, however short it is.
class CutOffTest : public testing::TestWithParam<std::string> {};

TEST_P(CutOffTest, WhateverHasASoundHeaderIsDecoded) {
  const std::string bytes = Fixture(GetParam());
  ASSERT_OK_AND_ASSIGN(const cv::Mat whole, PixelsOf(bytes));
  bool header_is_whole = false;
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    SCOPED_TRACE(length);
    const std::string cut = bytes.substr(0, length);
    const auto header = ReadImageHeader(cut, {});
    const auto image = DecodeImage(cut, {});
    ASSERT_EQ(image.status(), header.status());
    if (!header.ok()) {
      ASSERT_FALSE(header_is_whole);
      ASSERT_THAT(header, StatusIs(absl::StatusCode::kInvalidArgument));
      continue;
    }
    header_is_whole = true;
    ASSERT_EQ(image->pixels.size(), whole.size());
    // Only what is behind the pixels may be missing without a word.
    if (image->damage.empty()) {
      ASSERT_EQ(Difference(image->pixels, whole), 0);
    }
  }
  EXPECT_TRUE(header_is_whole);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CutOffTest,
                         testing::Values("rgb.jpg", "progressive.jpg", "cmyk.jpg", "grey.jpg",
                                         "rgb.png", "alpha.png", "interlaced.png", "palette.png",
                                         "rgb.bmp", "palette.bmp", "palette.gif", "interlaced.gif",
                                         "animated.gif", "small_frame_transparent.gif"));

// How much of the image is there, from the top, and which colour the rest has.
struct Part {
  const char* name;
  int same_rows;   // of 37
  int empty_rows;  // at the bottom
  cv::Vec3b color;
};

TEST(ImageCodecTest, APartOfAFileShowsTheRowsThatAreThere) {
  const cv::Vec3b grey = cv::Vec3b::all(128);
  const cv::Vec3b black = cv::Vec3b::all(0);
  for (const Part& part :
       {Part{"rgb.jpg", 15, 4, grey}, Part{"grey.jpg", 16, 5, grey}, Part{"rgb.png", 24, 12, black},
        Part{"alpha.png", 24, 12, black}, Part{"palette.gif", 19, 0, black}}) {
    SCOPED_TRACE(part.name);
    const std::string bytes = Fixture(part.name);
    ASSERT_OK_AND_ASSIGN(const cv::Mat whole, PixelsOf(bytes));
    ASSERT_OK_AND_ASSIGN(const DecodedImage cut,
                         DecodeImage(bytes.substr(0, bytes.size() * 7 / 10), {}));
    EXPECT_NE(cut.damage, "");
    EXPECT_EQ(Difference(cut.pixels.rowRange(0, part.same_rows), whole.rowRange(0, part.same_rows)),
              0);
    if (part.empty_rows == 0) continue;
    EXPECT_EQ(cv::norm(cut.pixels.rowRange(37 - part.empty_rows, 37),
                       cv::Mat(part.empty_rows, 53, CV_8UC3, cv::Scalar(part.color)), cv::NORM_INF),
              0);
  }
  // Rows of a BMP come from below.
  const std::string bmp = Fixture("rgb.bmp");
  ASSERT_OK_AND_ASSIGN(const cv::Mat whole, PixelsOf(bmp));
  ASSERT_OK_AND_ASSIGN(const DecodedImage cut, DecodeImage(bmp.substr(0, bmp.size() / 2), {}));
  EXPECT_EQ(Difference(cut.pixels.rowRange(20, 37), whole.rowRange(20, 37)), 0);
  EXPECT_EQ(cv::norm(cut.pixels.rowRange(0, 17), cv::NORM_INF), 0);
}

// The scans of a progressive JPEG and the passes of interlaced files are each of the whole image.
TEST(ImageCodecTest, APartOfAnInterlacedFileIsCoarseAllOver) {
  for (const auto& [name, mean] : std::vector<std::pair<std::string, double>>{
           {"progressive.jpg", 10}, {"interlaced.png", 25}, {"interlaced.gif", 25}}) {
    SCOPED_TRACE(name);
    const std::string bytes = Fixture(name);
    ASSERT_OK_AND_ASSIGN(const cv::Mat whole, PixelsOf(bytes));
    ASSERT_OK_AND_ASSIGN(const DecodedImage cut,
                         DecodeImage(bytes.substr(0, bytes.size() * 7 / 10), {}));
    EXPECT_NE(cut.damage, "");
    for (const auto rows : {cv::Range(0, 12), cv::Range(25, 37)}) {
      EXPECT_LT(cv::norm(cut.pixels.rowRange(rows), whole.rowRange(rows), cv::NORM_L1) /
                    (rows.size() * whole.cols * 3),
                mean);
    }
  }
}

TEST(ImageCodecTest, WhatFollowsTheImageIsIgnored) {
  for (const char* name : {"rgb.jpg", "progressive.jpg", "rgb.png", "palette.gif", "animated.gif",
                           "rgb.webp", "animated.webp", "rgb.bmp", "rgb.tif"}) {
    SCOPED_TRACE(name);
    const std::string bytes = Fixture(name);
    ASSERT_OK_AND_ASSIGN(const cv::Mat whole, PixelsOf(bytes));
    ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf(bytes + "\n<p>trailing</p>"));
    EXPECT_EQ(Difference(image, whole), 0);
  }
}

// Chromium shows nothing of these.
class WholeOrNothingTest : public testing::TestWithParam<std::string> {};

TEST_P(WholeOrNothingTest, CutOffAnywhereIsAnError) {
  const std::string bytes = Fixture(GetParam());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_THAT(DecodeImage(bytes.substr(0, length), {}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << length;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, WholeOrNothingTest,
                         testing::Values("rgb.webp", "lossless.webp", "animated.webp"));

TEST(ImageCodecTest, AFrameBeyondItsCanvasIsAnError) {
  EXPECT_THAT(DecodeImage(Fixture("bad_frame.webp"), {}), IsInvalid("animation is damaged"));
}

TEST(ImageCodecTest, OneRowAndOneColumnAreImages) {
  for (const cv::Size size : {cv::Size(5000, 1), cv::Size(1, 5000), cv::Size(1, 1)}) {
    for (const char* format : {".jpg", ".png", ".bmp", ".webp", ".tiff"}) {
      SCOPED_TRACE(format);
      std::vector<std::uint8_t> bytes;
      cv::imencode(format, cv::Mat(size, CV_8UC3, cv::Scalar(90, 120, 60)), bytes);
      ASSERT_OK_AND_ASSIGN(const cv::Mat image, PixelsOf({bytes.begin(), bytes.end()}));
      EXPECT_EQ(image.size(), size);
    }
  }
}

// As cv::fastMalloc says that there is no memory.
class NoMemory : public cv::MatAllocator {
 public:
  cv::UMatData* allocate(int, const int*, int, void*, size_t*, cv::AccessFlag,
                         cv::UMatUsageFlags) const override {
    CV_Error(cv::Error::StsNoMem, "Failed to allocate");
  }
  bool allocate(cv::UMatData*, cv::AccessFlag, cv::UMatUsageFlags) const override { return false; }
  void deallocate(cv::UMatData*) const override {}
};

TEST(ImageCodecTest, WithoutMemoryTheImageIsNotBlamed) {
  for (const char* format : {".jpg", ".png", ".bmp", ".webp", ".tiff"}) {
    std::vector<std::uint8_t> bytes;
    cv::imencode(format, cv::Mat(40, 50, CV_8UC3, cv::Scalar(90, 120, 60)), bytes);
    const std::string text(bytes.begin(), bytes.end());
    NoMemory no_memory;
    cv::MatAllocator* const usual = cv::Mat::getDefaultAllocator();
    cv::Mat::setDefaultAllocator(&no_memory);
    const absl::StatusOr<DecodedImage> image = DecodeImage(text, {});
    cv::Mat::setDefaultAllocator(usual);
    EXPECT_THAT(image, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("no memory")))
        << format;
  }
}

TEST(ImageCodecTest, NothingIsPrinted) {
  testing::internal::CaptureStderr();
  for (const char* name : {"rgb.jpg", "progressive.jpg", "rgb.png", "rgb.webp", "animated.webp",
                           "palette.gif", "rgb.bmp"}) {
    const std::string bytes = Fixture(name);
    (void)DecodeImage(bytes.substr(0, bytes.size() * 2 / 3), {});
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// Any bytes give an image or an error; under ASan this is a short run of the fuzz target.
TEST(ImageCodecTest, FlippedBytesNeverCrash) {
  for (const char* name :
       {"o6.jpg", "progressive.jpg", "cmyk.jpg", "o6.png", "palette.png", "rgb.webp",
        "animated.webp", "small_frame_transparent.gif", "palette.bmp", "deflate.tif", "o6.tif"}) {
    const std::string bytes = Fixture(name);
    for (std::size_t at = 0; at < bytes.size(); at += 7) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(~flipped[at]);
      // Small, so that a flipped size doesn't take a second to fill.
      const auto image = DecodeImage(flipped, {.max_pixels = 1 << 16});
      if (image.ok()) {
        EXPECT_EQ(image->pixels.type(), CV_8UC3);
      }
    }
  }
}

}  // namespace
}  // namespace vision
