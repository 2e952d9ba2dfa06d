#include "vision/pil_resize.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "hash/sha256.h"

namespace vision {
namespace {

// Noise: every rounding step shows. The generator below is repeated in the script that asked
// Pillow.
cv::Mat Noise(int width, int height) {
  cv::Mat image(height, width, CV_8UC3);
  std::uint32_t state = static_cast<std::uint32_t>(width * 1000 + height);
  for (std::uint8_t* p = image.data; p != image.dataend; ++p) {
    state = state * 1664525u + 1013904223u;
    *p = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

std::string Sha256(const cv::Mat& image) {
  return hash::Sha256Hex(
      {reinterpret_cast<const char*>(image.data), image.total() * image.elemSize()});
}

struct Case {
  Size from, to;
  const char* sha256;  // of Pillow 13.0.0's Image.fromarray(noise).resize(to, Image.BILINEAR)
};

class PilResizeTest : public testing::TestWithParam<Case> {};

TEST_P(PilResizeTest, EqualsPillowToTheBit) {
  const Case& c = GetParam();

  const cv::Mat resized = PilResizeBilinear(Noise(c.from.width, c.from.height), c.to);

  ASSERT_EQ(resized.cols, c.to.width);
  ASSERT_EQ(resized.rows, c.to.height);
  EXPECT_EQ(Sha256(resized), c.sha256);
}

INSTANTIATE_TEST_SUITE_P(
    UpDownAndOneAxis, PilResizeTest,
    testing::Values(
        Case{{64, 48},
             {102, 77},
             "0fa6514ac78ab9bd222444d3dc55af4040069a459204bb1d2b060311e9430e3e"},
        Case{{37, 50},
             {76, 102},
             "c9093a8b9b5e9d700d3aaa8b852e9e61f526b62754a1bf4b52c1b552b37ddf9a"},
        Case{{120, 30},
             {102, 26},
             "4b09c772b529aae9dba64a382fa0300df39e3798c8b6294d983e6d996cd06cce"},
        Case{{301, 200},
             {97, 64},
             "9a3325136d7f25305e7dafb7fd463fce1a4d735333aee1934d1e63a598fdf1f1"},
        Case{
            {50, 50}, {50, 50}, "9a1b386c5cccf3d956bd72cbc78d4849a1426f64fea2d4656b7f237755c200b0"},
        Case{
            {50, 40}, {50, 13}, "196be513f8c3fff55371bd039a34b8869c8ee1bd5ea788d8cc769959414ec374"},
        Case{
            {33, 70}, {80, 70}, "c30617003011ec9fe561c32e37741b3b52a941564a9cfff4d30732ea257b0db0"},
        Case{{1, 9}, {3, 27}, "ba94a2ec231aa2d44aa378fbdcc7068dc4c88fe5a3ec870c915f69e318ed5bb7"},
        Case{{7, 5}, {1, 1}, "6fc6995e5ff4ede5d543f537c2d2c2b6c7d29d75c07506d3d778dc92a72ca147"},
        Case{{2, 2},
             {255, 254},
             "12bb5a4806e3840492268479142ab025224b7a706ecf27d7b9f4ca237e567fd6"}));

TEST(PilResizeTest, LeavesAnImageOfTheRightSizeAlone) {
  const cv::Mat image = Noise(8, 6);

  EXPECT_EQ(PilResizeBilinear(image, {8, 6}).data, image.data);
}

}  // namespace
}  // namespace vision
