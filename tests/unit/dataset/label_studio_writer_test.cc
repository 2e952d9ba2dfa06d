#include "dataset/label_studio_writer.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

namespace json = boost::json;

std::string Config(std::string_view image, std::string_view controls) {
  return std::string("<View>").append(image).append(controls).append("</View>");
}

constexpr std::string_view kImage = "<Image name='image' value='$photo'/>";
constexpr std::string_view kBoth =
    "<RectangleLabels name='box' toName='image'><Label value='cat'/></RectangleLabels>"
    "<BrushLabels name='mask' toName='image'><Label value='cat'/></BrushLabels>";

// A masked cat, a crowd, and a dog.
Dataset Example() {
  Dataset dataset{{"cat", "dog"}, {}};
  Sample& sample = dataset.samples.emplace_back();
  sample.image = "a b.jpg";
  sample.size = {20, 10};
  sample.objects.push_back({.class_index = 0,
                            .box = {2, 1, 5, 2},
                            .rotated_box = {},
                            .mask = vision::Mask{{20, 10}, {{1, 2, 5}}}});
  sample.objects.push_back(
      {.class_index = 0, .box = {0, 0, 5, 5}, .rotated_box = {}, .mask = {}, .crowd = true});
  sample.objects.push_back({.class_index = 1, .box = {0, 0, 5, 5}, .rotated_box = {}, .mask = {}});
  return dataset;
}

json::array Tasks(const LabelStudioWriteOptions& options, Findings* findings) {
  absl::StatusOr<std::string> text = WriteLabelStudioTasks(Example(), options, findings);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? json::parse(*text).as_array() : json::array();
}

TEST(LabelStudioWriterTest, AnObjectIsARectangleAndABrushStroke) {
  Findings findings;

  const json::array tasks = Tasks({.label_config = Config(kImage, kBoth)}, &findings);

  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_EQ(tasks[0].at("data").at("photo").as_string(), "a b.jpg");
  const json::array& annotations = tasks[0].at("annotations").as_array();
  ASSERT_THAT(annotations, SizeIs(1));
  const json::array& result = annotations[0].at("result").as_array();
  ASSERT_THAT(result, SizeIs(2));
  EXPECT_EQ(result[0].at("type").as_string(), "rectanglelabels");
  EXPECT_EQ(result[0].at("value").at("x").to_number<double>(), 10);
  EXPECT_EQ(result[1].at("type").as_string(), "brushlabels");
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 crowds, which Label Studio has no regions for, left out; the first: "
                          "'a b.jpg'",
                          "1 images with objects that the label config has no label for, left "
                          "out; the first: 'dog' on 'a b.jpg'"));
}

TEST(LabelStudioWriterTest, PredictionsHaveAScoreAndAVersion) {
  Findings findings;
  const json::array tasks =
      Tasks({.label_config = Config(kImage, kBoth), .predictions = true, .model_version = "v1"},
            &findings);

  const json::array& predictions = tasks[0].at("predictions").as_array();
  ASSERT_THAT(predictions, SizeIs(1));
  EXPECT_EQ(predictions[0].at("model_version").as_string(), "v1");
  EXPECT_EQ(predictions[0].at("score").to_number<double>(), 1);
  EXPECT_FALSE(tasks[0].as_object().contains("annotations"));
}

TEST(LabelStudioWriterTest, AConfigOfRectanglesHasNoPlaceForMasks) {
  Findings findings;
  const json::array tasks =
      Tasks({.label_config = Config(kImage, kBoth.substr(0, kBoth.find("<Brush")))}, &findings);
  EXPECT_THAT(tasks[0].at("annotations").at(0).at("result").as_array(), SizeIs(1));
  EXPECT_EQ(findings.count("masks that the label config has no place for, left out"), 1U);
}

TEST(LabelStudioWriterTest, AnImagesAddressIsEncodedBehindItsPrefix) {
  Findings findings;
  const json::array tasks =
      Tasks({.label_config = Config(kImage, kBoth), .image_prefix = "/data/local-files/?d=in/"},
            &findings);
  EXPECT_EQ(tasks[0].at("data").at("photo").as_string(), "/data/local-files/?d=in/a%20b.jpg");
}

TEST(LabelStudioWriterTest, AListOfImagesGetsOne) {
  Findings findings;
  const json::array tasks =
      Tasks({.label_config = Config("<Image name='image' valueList='$photo'/>", kBoth)}, &findings);
  EXPECT_EQ(tasks[0].at("data").at("photo").as_array().size(), 1U);
  EXPECT_EQ(tasks[0].at("annotations").at(0).at("result").at(0).at("item_index").as_int64(), 0);
}

TEST(LabelStudioWriterTest, ConfigsThatSayNoPlaceForTheImageAreRefused) {
  const auto refused = [](const LabelStudioWriteOptions& options) {
    Findings findings;
    return std::string(WriteLabelStudioTasks(Example(), options, &findings).status().message());
  };
  EXPECT_THAT(refused({.label_config = "<View>"}), HasSubstr("not XML"));
  // "$my-image" is the field "my", with "-image" behind what it holds.
  for (const std::string value : {"$my-image", "$a.b", "$a[0]", "$", "photo", "$a b", "x$a"}) {
    EXPECT_THAT(
        refused({.label_config = Config("<Image name='image' value='" + value + "'/>", kBoth)}),
        HasSubstr("value=\"" + value + "\"; needed: the name of one field"));
  }
  EXPECT_THAT(refused({.label_config = Config("<Image name='image' value='$a/$b'/>", kBoth)}),
              HasSubstr("value=\"$a/$b\"; needed: the name of one field"));
  EXPECT_THAT(refused({.label_config = Config(
                           "<Image name='image' value='$a'/><Image name='b' value='$b'/>", kBoth)}),
              HasSubstr("2 images; needed: one"));
  EXPECT_THAT(refused({.label_config = Config(kImage, kBoth), .outputs = "boxes"}),
              HasSubstr("'boxes' is unknown"));
}

}  // namespace
}  // namespace dataset
