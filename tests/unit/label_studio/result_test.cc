#include "label_studio/result.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>
#include <string>

#include "label_studio/brush_rle.h"
#include "label_studio/json_text.h"
#include "tests/testing/status_matchers.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

namespace json = boost::json;

std::string Control(const std::string& tag, const std::string& name, const std::string& more = "") {
  return "<" + tag + " name='" + name + "' toName='image' " + more +
         "><Label value='cat'/><Label value='baseball_bat'/></" + tag + ">";
}

LabelConfig Config(const std::string& controls) {
  return *ParseLabelConfig("<View><Image name='image' value='$image'/>" + controls + "</View>");
}

std::string AllKinds() {
  return Control("RectangleLabels", "r") + Control("BrushLabels", "b") +
         Control("PolygonLabels", "p") + Control("EllipseLabels", "e") +
         Control("KeyPointLabels", "k");
}

const std::vector<std::string> kClasses = {"cat", "dog", "Baseball Bat"};

EmissionPlan Plan(const LabelConfig& config, const std::string& outputs = "") {
  return EmissionPlan::Make(config, config.images[0], kClasses,
                            {.outputs = *ParseOutputs(outputs)});
}

// The filled rectangle of a 100×50 image.
vision::Mask Filled(int x_begin, int y_begin, int x_end, int y_end) {
  vision::Mask mask{{100, 50}, {}};
  for (int y = y_begin; y < y_end; ++y) mask.spans.push_back({y, x_begin, x_end});
  return mask;
}

Object Cat() {
  Object object;
  object.class_name = "cat";
  object.score = 0.75f;
  object.box = {10, 5, 30, 25};
  object.mask = Filled(10, 5, 30, 25);
  object.mask_score = 1.02f;
  return object;
}

json::array Parse(const Regions& regions) {
  return json::parse("[" + regions.json + "]").get_array();
}

TEST(RegionsTest, ABoxIsWrittenInPercentWithAllThatLabelStudioWants) {
  const LabelConfig config = Config(Control("RectangleLabels", "r"));

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {Cat()});

  const json::array list = Parse(regions);
  ASSERT_EQ(list.size(), 1u);
  json::object region = list[0].as_object();
  EXPECT_THAT(std::string(region.at("id").as_string()), SizeIs(10));
  region.erase("id");
  EXPECT_EQ(region, json::parse(R"({"from_name":"r","to_name":"image","type":"rectanglelabels",
    "original_width":100,"original_height":50,"image_rotation":0,"score":0.75,"readonly":false,"hidden":false,
    "value":{"x":10,"y":10,"width":20,"height":40,"rotation":0,"rectanglelabels":["cat"]}})"));
}

TEST(RegionsTest, ScoresAreClampedAndAveraged) {
  const LabelConfig config = Config(AllKinds());

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {Cat()});

  EXPECT_EQ(regions.count, 2);
  EXPECT_EQ(PredictionJson(regions, "v\"1").substr(PredictionJson(regions, "v\"1").rfind("],")),
            R"(],"score":0.875,"model_version":"v\"1"})");
  EXPECT_EQ(PredictionJson({}, "v1"), R"({"result":[],"score":0,"model_version":"v1"})");
  EXPECT_EQ(PredictResponseJson({"{}", PredictionJson({}, "a")}, "a"),
            R"({"results":[{},{"result":[],"score":0,"model_version":"a"}],"model_version":"a"})");
  Regions scored;
  scored.score = 0.25;
  EXPECT_EQ(PredictionJson(scored, "v1"), R"({"result":[],"score":0.25,"model_version":"v1"})");
}

TEST(RegionsTest, BoxesAreClampedAndDegenerateOnesDroppedAndCounted) {
  const LabelConfig config = Config(Control("RectangleLabels", "r"));
  Object over = Cat(), outside = Cat(), inverted = Cat(), nan = Cat(), sliver = Cat();
  over.box = {-5, -5, 120, 60};
  outside.box = {120, 10, 130, 20};
  inverted.box = {20, 20, 10, 10};
  nan.box.x_min = std::numeric_limits<float>::quiet_NaN();
  sliver.box = {10, 10, 10, 20};

  const Regions regions =
      MakeRegions(Plan(config), {100, 50}, {over, outside, inverted, nan, sliver});

  EXPECT_EQ(regions.count, 1);
  EXPECT_EQ(regions.degenerate, 4);
  EXPECT_EQ(
      Parse(regions)[0].at("value"),
      json::parse(
          R"({"x":0,"y":0,"width":100,"height":100,"rotation":0,"rectanglelabels":["cat"]})"));
}

TEST(RegionsTest, ClassesAreWrittenAsTheConfigSpellsThemAndUnknownOnesNamedOnce) {
  const LabelConfig config = Config(Control("RectangleLabels", "r"));
  Object bat = Cat(), dog = Cat();
  bat.class_name = "Baseball Bat";
  dog.class_name = "dog";

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {bat, dog, dog});

  ASSERT_EQ(regions.count, 1);
  EXPECT_EQ(Parse(regions)[0].at("value").at("rectanglelabels").at(0), "baseball_bat");
  EXPECT_THAT(regions.unmatched_classes, ElementsAre("dog"));
}

// The corners of a region's rectangle in pixels, as Label Studio draws it.
std::vector<vision::Point> Corners(const json::value& region, vision::Size size) {
  const json::value& value = region.at("value");
  const auto number = [&](const char* name) { return value.at(name).to_number<double>(); };
  const double x = number("x") * size.width / 100, y = number("y") * size.height / 100;
  const double w = number("width") * size.width / 100, h = number("height") * size.height / 100;
  const double angle = number("rotation") * std::numbers::pi / 180;
  std::vector<vision::Point> corners;
  for (const auto& [dx, dy] : {std::pair{0.0, 0.0}, {w, 0.0}, {w, h}, {0.0, h}}) {
    corners.push_back({static_cast<float>(x + dx * std::cos(angle) - dy * std::sin(angle)),
                       static_cast<float>(y + dx * std::sin(angle) + dy * std::cos(angle))});
  }
  return corners;
}

TEST(RegionsTest, ATurnedBoxIsDrawnWhereItIsFromACornerInsideTheImage) {
  const LabelConfig config = Config(Control("RectangleLabels", "r"));
  // 40×10 about (20, 8), turned by 30°: two of its corners lie above the image, one left of it.
  Object object = Cat();
  object.rotated_box =
      vision::RotatedBox{{20, 8}, 40, 10, static_cast<float>(std::numbers::pi / 6)};
  object.box = {0, 0, 40, 23};

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {object});

  const json::array list = Parse(regions);
  ASSERT_EQ(list.size(), 1u);
  for (const char* field : {"x", "y", "width", "height"}) {
    const double percent = list[0].at("value").at(field).to_number<double>();
    EXPECT_TRUE(percent >= 0 && percent <= 100) << field << ' ' << percent;
  }
  std::set<std::pair<long, long>> drawn, wanted;
  for (const vision::Point& corner : Corners(list[0], {100, 50})) {
    drawn.emplace(std::lround(corner.x * 100), std::lround(corner.y * 100));
  }
  const double c = std::cos(std::numbers::pi / 6), s = std::sin(std::numbers::pi / 6);
  for (const auto& [dx, dy] : {std::pair{-20.0, -5.0}, {20.0, -5.0}, {20.0, 5.0}, {-20.0, 5.0}}) {
    wanted.emplace(std::lround((20 + dx * c - dy * s) * 100),
                   std::lround((8 + dx * s + dy * c) * 100));
  }
  EXPECT_EQ(drawn, wanted);
}

TEST(RegionsTest, ATurnedBoxWithAllCornersOutsideBecomesUpright) {
  const LabelConfig config = Config(Control("RectangleLabels", "r"));
  Object object = Cat();
  object.rotated_box = vision::RotatedBox{{50, 25}, 140, 120, 0.1f};
  object.box = {0, 0, 100, 50};

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {object});

  EXPECT_EQ(Parse(regions)[0].at("value").at("rotation").to_number<double>(), 0);
  EXPECT_EQ(Parse(regions)[0].at("value").at("width").to_number<double>(), 100);
}

TEST(RegionsTest, MasksBecomeEveryKindAsked) {
  const LabelConfig config = Config(AllKinds());

  const Regions regions =
      MakeRegions(Plan(config, "rectangle,brush,polygon,ellipse,keypoint"), {100, 50}, {Cat()});

  const json::array list = Parse(regions);
  ASSERT_EQ(list.size(), 5u);
  std::set<std::string> ids;
  for (const json::value& region : list) ids.emplace(region.at("id").as_string());
  EXPECT_EQ(ids.size(), 5u);

  std::vector<std::uint8_t> rle;
  for (const json::value& byte : list[1].at("value").at("rle").as_array()) {
    rle.push_back(static_cast<std::uint8_t>(byte.as_int64()));
  }
  EXPECT_EQ(*DecodeBrushRle(rle, {100, 50}), *Cat().mask);
  EXPECT_EQ(list[1].at("value").at("format"), "rle");
  EXPECT_EQ(list[1].at("score").to_number<double>(), 1);

  EXPECT_EQ(list[2].at("value").at("points"), json::parse("[[10,10],[30,10],[30,50],[10,50]]"));
  EXPECT_EQ(list[2].at("value").at("polygonlabels").at(0), "cat");

  // A rectangle's moments: half axes of side / sqrt(3).
  EXPECT_NEAR(list[3].at("value").at("x").to_number<double>(), 20, 1e-3);
  EXPECT_NEAR(list[3].at("value").at("radiusX").to_number<double>(), 20 / std::sqrt(3.0), 0.02);
  EXPECT_NEAR(list[3].at("value").at("radiusY").to_number<double>(), 40 / std::sqrt(3.0), 0.04);

  EXPECT_NEAR(list[4].at("value").at("x").to_number<double>(), 20, 1);
  EXPECT_NEAR(list[4].at("value").at("y").to_number<double>(), 30, 2);
}

TEST(RegionsTest, PolygonsLeaveOutSpecksAndHoles) {
  const LabelConfig config = Config(Control("PolygonLabels", "p"));
  Object object = Cat();
  // A hole of 5×4 pixels, and a speck of 15: one too few.
  object.mask = vision::Mask{{100, 50}, {}};
  for (int y = 5; y < 25; ++y) {
    if (y < 12 || y >= 16) {
      object.mask->spans.push_back({y, 10, 30});
    } else {
      object.mask->spans.push_back({y, 10, 15});
      object.mask->spans.push_back({y, 20, 30});
    }
  }
  object.mask->spans.push_back({40, 0, 15});

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {object});

  EXPECT_EQ(regions.count, 1);
  EXPECT_THAT(regions.json, HasSubstr("\"points\":[[10,10],[30,10],[30,50],[10,50]]"));
}

TEST(RegionsTest, AnObjectWithoutMaskHasOnlyItsBox) {
  const LabelConfig config = Config(AllKinds());
  Object object = Cat();
  object.mask.reset();
  EXPECT_EQ(MakeRegions(Plan(config), {100, 50}, {object}).count, 1);
  object.mask = vision::Mask{{100, 50}, {}};
  const Regions regions = MakeRegions(Plan(config), {100, 50}, {object});
  EXPECT_EQ(regions.count, 1);
  EXPECT_EQ(regions.degenerate, 1);
}

TEST(RegionsTest, PlainShapesAreTwoResultsOfOneId) {
  const LabelConfig config = Config(
      "<Labels name='what' toName='image'><Label value='cat'/></Labels>"
      "<Rectangle name='box' toName='image'/>");

  const Regions regions = MakeRegions(Plan(config), {100, 50}, {Cat()}, /*item_index=*/2);

  const json::array list = Parse(regions);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(regions.count, 1);
  EXPECT_EQ(list[0].at("id"), list[1].at("id"));
  EXPECT_EQ(list[0].at("type"), "rectangle");
  EXPECT_EQ(list[1].at("type"), "labels");
  EXPECT_EQ(list[1].at("from_name"), "what");
  EXPECT_EQ(list[1].at("value").at("labels").at(0), "cat");
  EXPECT_EQ(list[0].at("item_index").as_int64(), 2);
}

TEST(RegionsTest, AnswersRepeatTheViewsRotation) {
  const LabelConfig config = Config(AllKinds());
  InteractivePrompt prompt;
  prompt.to_name = "image";
  prompt.labels = {"cat"};
  prompt.image_rotation = 270;
  ASSERT_OK_AND_ASSIGN(const auto targets, AnswerPlan(config).ChooseTargets(prompt));

  const Regions regions = MakeAnswer(prompt, targets, Filled(1, 1, 5, 5), 0.5f);

  const json::array list = Parse(regions);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].at("type"), "brushlabels");
  EXPECT_EQ(list[0].at("image_rotation").as_int64(), 270);
  EXPECT_EQ(list[0].as_object().contains("item_index"), false);
  EXPECT_EQ(MakeAnswer(prompt, targets, Filled(1, 1, 1, 1), 0.5f).count, 0);
}

TEST(JsonTextTest, StringsNumbersAndBytesAreJson) {
  std::string text;
  AppendJsonString("a\"\\\n\x01é", &text);
  EXPECT_EQ(text, "\"a\\\"\\\\\\u000a\\u0001é\"");
  text.clear();
  for (const double value : {0.0, -0.0, 1.0 / 3, 100.0, 1e-9}) {
    AppendJsonNumber(value, &text);
    text += ' ';
  }
  EXPECT_EQ(text, "0 0 0.333333 100 0 ");
  text.clear();
  std::vector<std::uint8_t> bytes;
  std::string expected = "[";
  for (int i = 0; i < 256; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i));
    expected += std::to_string(i) + (i < 255 ? "," : "]");
  }
  AppendJsonBytes(bytes, &text);
  EXPECT_EQ(text, expected);
  text.clear();
  AppendJsonBytes({}, &text);
  EXPECT_EQ(text, "[]");
}

TEST(JsonTextTest, BytesThatAreNotUtf8BecomeTheReplacementCharacter) {
  std::string text;
  AppendJsonString("caf\xe9 \"é\"", &text);
  EXPECT_EQ(text, "\"caf\xEF\xBF\xBD \\\"é\\\"\"");
}

TEST(JsonTextTest, NumbersAreRoundedToSixDecimals) {
  const auto text = [](double number) {
    std::string json;
    AppendJsonNumber(number, &json);
    return json;
  };
  EXPECT_EQ(text(0.12345678), "0.123457");
  EXPECT_EQ(text(-0.12345678), "-0.123457");
  EXPECT_EQ(text(33.0000004), "33");
  EXPECT_EQ(text(-1e-9), "0") << "not -0";
}

}  // namespace
}  // namespace label_studio
