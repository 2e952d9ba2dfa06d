#include "cli/picture_drawing.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdio>
#include <opencv2/core.hpp>

#include "label_studio/generate.h"

namespace cli {
namespace {

using label_studio::Object;
using label_studio::Rgb;
using testing::HasSubstr;

const std::vector<std::string> kClasses = {"circle", "square", "心形"};

cv::Vec3b ToPixel(const Rgb& color) {
  return {static_cast<unsigned char>(color.blue), static_cast<unsigned char>(color.green),
          static_cast<unsigned char>(color.red)};
}

bool Has(const cv::Mat& picture, const Rgb& color) {
  return std::any_of(picture.begin<cv::Vec3b>(), picture.end<cv::Vec3b>(),
                     [&](const cv::Vec3b& pixel) { return pixel == ToPixel(color); });
}

TEST(ColorOfClassTest, IsTheOneOfTheLabelConfig) {
  for (const std::string& name : kClasses) {
    const Rgb color = ColorOfClass(kClasses, name);
    char text[16];
    std::snprintf(text, sizeof text, "#%02X%02X%02X", color.red, color.green, color.blue);

    EXPECT_THAT(label_studio::GenerateLabelConfig(kClasses),
                HasSubstr("value=\"" + name + "\" background=\"" + text + "\""));
  }
}

TEST(PlaceCaptionsTest, OneAloneStandsOnItsBox) {
  const auto places = PlaceCaptions({{100, 50, 60, 40}}, {{30, 12}}, {300, 200});

  EXPECT_EQ(places.front(), cv::Rect(100, 38, 30, 12));
}

TEST(PlaceCaptionsTest, CaptionsOfOnePlaceDoNotCoverEachOther) {
  const std::vector<cv::Rect> boxes(6, {100, 50, 60, 80});

  const auto places =
      PlaceCaptions(boxes, std::vector<cv::Size>(boxes.size(), {30, 12}), {300, 200});

  ASSERT_EQ(places.size(), boxes.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_EQ((places[i] & places[j]).area(), 0) << i << j;
  }
}

TEST(PlaceCaptionsTest, AllAreInsideOfThePicture) {
  const cv::Rect canvas(0, 0, 300, 200);
  const std::vector<cv::Rect> boxes = {{0, 0, 300, 200}, {290, 0, 10, 10}, {-5, 190, 20, 30}};

  for (const cv::Rect& place :
       PlaceCaptions(boxes, {{50, 12}, {50, 12}, {50, 12}}, canvas.size())) {
    EXPECT_EQ(place & canvas, place) << place;
  }
}

TEST(DrawObjectsTest, AMaskIsTintedAndTheRestIsAsItWas) {
  const cv::Mat picture(600, 800, CV_8UC3, cv::Scalar(100, 100, 100));
  Object object{.class_name = "square", .score = 0.9F, .box = {100, 100, 300, 300}};
  vision::Mask mask{.size = {800, 600}, .spans = {}};
  for (int y = 100; y < 300; ++y) mask.spans.push_back({y, 100, 300});
  object.mask = mask;

  const cv::Mat drawn = DrawObjects(picture, {object}, kClasses);

  const Rgb color = ColorOfClass(kClasses, "square");
  const auto inside = drawn.at<cv::Vec3b>(250, 200);
  // 0.4 of the colour and 0.6 of the picture, rounded.
  EXPECT_NEAR(inside[0], 60 + 0.4 * color.blue, 1);
  EXPECT_NEAR(inside[1], 60 + 0.4 * color.green, 1);
  EXPECT_NEAR(inside[2], 60 + 0.4 * color.red, 1);
  EXPECT_EQ(drawn.at<cv::Vec3b>(500, 600), cv::Vec3b(100, 100, 100));
  EXPECT_EQ(picture.at<cv::Vec3b>(250, 200), cv::Vec3b(100, 100, 100));
  EXPECT_TRUE(Has(drawn, color)) << "the box's line, and the caption's ground";
}

TEST(DrawObjectsTest, ASmallPictureIsEnlargedByAWholeNumber) {
  const cv::Mat picture(40, 50, CV_8UC3, cv::Scalar(10, 20, 30));
  Object object{.class_name = "心形", .score = 0.5F, .box = {10, 10, 30, 30}};
  object.mask = vision::Mask{.size = {50, 40}, .spans = {{20, 10, 30}}};

  const cv::Mat drawn = DrawObjects(picture, {object}, kClasses);

  EXPECT_EQ(drawn.size(), cv::Size(500, 400));
  EXPECT_TRUE(Has(drawn, ColorOfClass(kClasses, "心形")));
}

TEST(DrawObjectsTest, NothingFoundIsThePictureItself) {
  const cv::Mat picture(480, 480, CV_8UC3, cv::Scalar(10, 20, 30));

  EXPECT_EQ(cv::norm(DrawObjects(picture, {}, kClasses), picture, cv::NORM_INF), 0);
}

}  // namespace
}  // namespace cli
