#include "model_service/image_source.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace model_service {
namespace {

using duet::vision::v1::Image;
using duet_testing::StatusIs;
using testing::HasSubstr;

std::string PngOf(int width, int height) {
  std::vector<std::uint8_t> bytes;
  cv::imencode(".png", cv::Mat(height, width, CV_8UC3, cv::Scalar(10, 20, 30)), bytes);
  return {bytes.begin(), bytes.end()};
}

class ImageSourceTest : public testing::Test {
 protected:
  duet_testing::TempDir folder_;
  serving::Metrics metrics_;
  ImageSource images_{folder_.path(), {.max_bytes = 1000, .max_pixels = 10'000}, metrics_};
  Image image_;
  std::string storage_;
};

TEST_F(ImageSourceTest, DataIsReadWithoutACopy) {
  image_.set_data("bytes");
  ASSERT_OK_AND_ASSIGN(const std::string_view bytes, images_.Read(image_, &storage_));
  EXPECT_EQ(bytes, "bytes");
  EXPECT_EQ(bytes.data(), image_.data().data());
}

TEST_F(ImageSourceTest, AFileBelowTheRootIsReadIntoTheStorage) {
  image_.set_uri("file://" + folder_.Write("a.png", "bytes"));
  ASSERT_OK_AND_ASSIGN(const std::string_view bytes, images_.Read(image_, &storage_));
  EXPECT_EQ(bytes, "bytes");
  EXPECT_EQ(bytes.data(), storage_.data());
}

TEST_F(ImageSourceTest, DecodesBoth) {
  image_.set_data(PngOf(20, 10));
  ASSERT_OK_AND_ASSIGN(const cv::Mat from_data, images_.Decode(image_, nullptr));
  EXPECT_EQ(from_data.size(), cv::Size(20, 10));
  image_.set_uri("file://" + folder_.Write("a.png", PngOf(30, 10)));
  ASSERT_OK_AND_ASSIGN(const cv::Mat from_file, images_.Decode(image_, nullptr));
  EXPECT_EQ(from_file.size(), cv::Size(30, 10));
}

TEST_F(ImageSourceTest, WhatIsMissingOrNotAllowedIsInvalid) {
  const auto refused = [&](const char* part) {
    EXPECT_THAT(images_.Read(image_, &storage_),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(part)));
  };
  refused("image is missing");
  image_.set_data("");
  refused("image is missing");
  image_.set_uri("file://" + folder_.Write("empty.png", ""));
  refused("empty");
  image_.set_uri("file:///etc/passwd");
  refused("not a file below");
  image_.set_uri("file://" + folder_.Write("large.png", std::string(1001, 'x')));
  refused("the limit is 1000");
}

TEST_F(ImageSourceTest, DecodingKeepsTheLimits) {
  image_.set_data(PngOf(200, 100));
  EXPECT_THAT(images_.Decode(image_, nullptr), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace model_service
