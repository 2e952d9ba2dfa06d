#include "label_studio/context.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <utility>

#include "label_studio/brush_rle.h"
#include "label_studio/task.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/label_studio/recorded.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

constexpr char kConfig[] =
    R"(<View><Image name="image" value="$image"/><Image name="other" value="$other"/>
  <BrushLabels name="brush" toName="image"><Label value="Cat"/></BrushLabels>
  <RectangleLabels name="boxes" toName="image"><Label value="cat"/><Label value="dog"/></RectangleLabels>
  <RectangleLabels name="srect" toName="image" smart="true"><Label value="cat"/><Label value="dog"/><Label value="cow"/></RectangleLabels>
  <KeyPointLabels name="skp" toName="image" smart="true"><Label value="cat"/></KeyPointLabels>
  <KeyPointLabels name="okp" toName="other" smart="true"><Label value="cat"/></KeyPointLabels>
  <EllipseLabels name="sell" toName="image" smart="true"><Label value="cat"/></EllipseLabels>
  <PolygonLabels name="spoly" toName="image" smart="true"><Label value="cat"/></PolygonLabels>
  <BrushLabels name="sbrush" toName="image" smart="true"><Label value="cat"/></BrushLabels></View>)";

LabelConfig Config(const std::string& xml = kConfig) { return *ParseLabelConfig(xml); }

// One entry of the context's list on an image of 200×100; `fields` beside `value`.
std::string Item(const std::string& control, const std::string& type, const std::string& value,
                 const std::string& fields = "") {
  return R"({"original_width":200,"original_height":100,"image_rotation":0,"from_name":")" +
         control + R"(","to_name":")" + (control == "okp" ? "other" : "image") + R"(","type":")" +
         type + R"(","origin":"manual",)" + fields + R"("value":)" + value + "}";
}

std::string Point(int x, int y, const std::string& fields = "") {
  return Item("skp", "keypointlabels",
              "{\"x\":" + std::to_string(x) + ",\"y\":" + std::to_string(y) +
                  ",\"width\":0.3,\"keypointlabels\":[\"cat\"]}",
              fields);
}

absl::StatusOr<InteractivePrompt> Parse(const std::string& items) {
  return ParseContext(boost::json::parse("{\"result\":[" + items + "]}"), Config());
}

TEST(ContextTest, TheRecordedSecondClickSkipsTheModelsPointAndKeepsARestoredOne) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request,
                       ParsePredictRequest(ReadRecorded("predict_keypoints.json")));

  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt,
                       ParseContext(request.context, Config(request.label_config)));

  ASSERT_EQ(prompt.points.size(), 2u);
  EXPECT_TRUE(prompt.points[0].positive) << "without is_positive: restored from a draft";
  EXPECT_NEAR(prompt.points[0].at.x, 0.2206 * 320, 0.01);
  EXPECT_NEAR(prompt.points[0].at.y, 0.28043 * 240, 0.01);
  EXPECT_FALSE(prompt.points[1].positive);
  EXPECT_THAT(prompt.labels, ElementsAre("dog"));
  EXPECT_EQ(prompt.size, (vision::Size{320, 240}));
  EXPECT_FALSE(prompt.box.has_value());
}

TEST(ContextTest, APromptHasAHundredLabelsAtMost) {
  const auto parse = [](int count) {
    std::string labels = "\"l0\"";
    for (int i = 1; i < count; ++i) labels += ",\"l" + std::to_string(i) + "\"";
    return Parse(
        Item("skp", "keypointlabels", "{\"x\":5,\"y\":5,\"keypointlabels\":[" + labels + "]}"));
  };

  EXPECT_THAT(parse(100)->labels, SizeIs(100));
  EXPECT_THAT(parse(101), StatusIs(kInvalid, HasSubstr("has 101 labels; at most 100")));
  // Looking for each among all before it would take minutes.
  EXPECT_THAT(parse(300'000), StatusIs(kInvalid, HasSubstr("300000 labels")));
}

TEST(ContextTest, TheRecordedRectangleIsABoxInPixels) {
  ASSERT_OK_AND_ASSIGN(const PredictRequest request,
                       ParsePredictRequest(ReadRecorded("predict_rectangle.json")));

  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt,
                       ParseContext(request.context, Config(request.label_config)));

  ASSERT_TRUE(prompt.box.has_value());
  EXPECT_NEAR(prompt.box->x_min, 31.96, 0.01);
  EXPECT_NEAR(prompt.box->y_min, 28.66, 0.01);
  EXPECT_NEAR(prompt.box->x_max, 112.06, 0.01);
  EXPECT_NEAR(prompt.box->y_max, 103.23, 0.01);
  EXPECT_EQ(prompt.from_name, "srect");
}

TEST(ContextTest, PointsAndARectangleAreOneObject) {
  ASSERT_OK_AND_ASSIGN(
      const InteractivePrompt prompt,
      Parse(
          Item("srect", "rectanglelabels",
               R"({"x":10,"y":20,"width":50,"height":60,"rotation":0,"rectanglelabels":["dog"]})") +
          "," + Point(30, 50) + "," + Point(90, 90, R"("is_positive":false,)")));

  EXPECT_EQ(*prompt.box, (vision::Box{20, 20, 120, 80}));
  ASSERT_EQ(prompt.points.size(), 2u);
  EXPECT_EQ(prompt.points[0].at, (vision::Point{60, 50}));
  EXPECT_THAT(prompt.labels, ElementsAre("cat")) << "the last prompt decides";
}

TEST(ContextTest, ATurnedRectangleBecomesTheBoxAroundItsCorners) {
  // A quarter turn clockwise about (100, 20): 40 wide and 10 high becomes 10 to the left and 40
  // down.
  ASSERT_OK_AND_ASSIGN(
      const InteractivePrompt prompt,
      Parse(Item(
          "srect", "rectanglelabels",
          R"({"x":50,"y":20,"width":20,"height":10,"rotation":90,"rectanglelabels":["cat"]})")));

  EXPECT_NEAR(prompt.box->x_min, 90, 1e-3);
  EXPECT_NEAR(prompt.box->y_min, 20, 1e-3);
  EXPECT_NEAR(prompt.box->x_max, 100, 1e-3);
  EXPECT_NEAR(prompt.box->y_max, 60, 1e-3);
}

TEST(ContextTest, EllipsesAndPolygonsBecomeBoxesClippedToTheImage) {
  ASSERT_OK_AND_ASSIGN(
      const InteractivePrompt ellipse,
      Parse(Item(
          "sell", "ellipselabels",
          R"({"x":10,"y":50,"radiusX":15,"radiusY":10,"rotation":0,"ellipselabels":["cat"]})")));
  ASSERT_OK_AND_ASSIGN(
      const InteractivePrompt polygon,
      Parse(
          Item("spoly", "polygonlabels",
               R"({"points":[[10,10],[120,30],[40,70]],"closed":true,"polygonlabels":["cat"]})")));

  EXPECT_NEAR(ellipse.box->x_min, 0, 1e-3);
  EXPECT_NEAR(ellipse.box->x_max, 50, 1e-3);
  EXPECT_NEAR(ellipse.box->y_min, 40, 1e-3);
  EXPECT_NEAR(polygon.box->x_max, 200, 1e-3);
  EXPECT_NEAR(polygon.box->y_max, 70, 1e-3);
}

TEST(ContextTest, ABrushStrokeIsAMaskAndItsBox) {
  const vision::Mask mask{{200, 100}, {{10, 20, 30}, {11, 25, 40}}};
  const std::string rle = [&] {
    boost::json::array bytes;
    for (const std::uint8_t byte : EncodeBrushRle(mask)) bytes.emplace_back(byte);
    return boost::json::serialize(bytes);
  }();

  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt,
                       Parse(Item("sbrush", "brushlabels",
                                  R"({"format":"rle","brushlabels":["cat"],"rle":)" + rle + "}")));

  EXPECT_EQ(*prompt.mask, mask);
  EXPECT_EQ(*prompt.box, (vision::Box{20, 10, 40, 12}));
}

TEST(ContextTest, PromptsOnAnotherImageAreLeftOut) {
  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt,
                       Parse(Point(10, 10) + "," +
                             Item("okp", "keypointlabels", R"({"x":1,"y":1,"labels":["cat"]})")));

  EXPECT_EQ(prompt.to_name, "other");
  EXPECT_EQ(prompt.points.size(), 1u);
}

TEST(ContextTest, RotationOfTheViewIsRepeatedAndMovesNothing) {
  std::string item = Point(10, 20);
  item.replace(item.find("\"image_rotation\":0"), 18, "\"image_rotation\":90");
  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt, Parse(item));

  EXPECT_EQ(prompt.image_rotation, 90);
  EXPECT_EQ(prompt.points[0].at, (vision::Point{20, 20}));

  for (const auto& [turned, answered] : {std::pair("-90", 270), {"360", 0}, {"450", 90}}) {
    item = Point(10, 20);
    item.replace(item.find("\"image_rotation\":0"), 18,
                 std::string("\"image_rotation\":") + turned);
    ASSERT_OK_AND_ASSIGN(const InteractivePrompt other, Parse(item));
    EXPECT_EQ(other.image_rotation, answered) << turned;
  }
}

TEST(ContextTest, PlainShapesHaveTheirLabelInLabels) {
  const LabelConfig config = Config(R"(<View><Image name="image" value="$image"/>
    <Labels name="what" toName="image"><Label value="cat"/></Labels>
    <KeyPoint name="skp" toName="image" smart="true"/><Brush name="b" toName="image"/></View>)");
  const std::string items = Item("skp", "keypoint", R"({"x":1,"y":2,"labels":["cat"]})") + "," +
                            Item("what", "labels", R"({"x":1,"y":2,"labels":["cat"]})");

  ASSERT_OK_AND_ASSIGN(const InteractivePrompt prompt,
                       ParseContext(boost::json::parse("{\"result\":[" + items + "]}"), config));

  EXPECT_EQ(prompt.points.size(), 1u);
  EXPECT_THAT(prompt.labels, ElementsAre("cat"));
}

TEST(ContextTest, ErrorsNameItemAndField) {
  const auto context = [](const char* text) {
    return ParseContext(boost::json::parse(text), Config());
  };
  EXPECT_THAT(context("{}"), StatusIs(kInvalid, HasSubstr("no list 'result'")));
  EXPECT_THAT(context(R"({"result":[]})"), StatusIs(kInvalid, HasSubstr("has no prompt")));
  EXPECT_THAT(context(R"({"result":[7]})"),
              StatusIs(kInvalid, "'params.context.result[0]' is not an object"));
  EXPECT_THAT(Parse(Point(1, 1) + "," + Item("gone", "keypointlabels", "{}")),
              StatusIs(kInvalid, HasSubstr("result[1]' was drawn with the control 'gone'")));
  EXPECT_THAT(Parse(Item("skp", "keypointlabels", R"({"x":"1","y":2})")),
              StatusIs(kInvalid, HasSubstr("no number 'value.x'")));
  EXPECT_THAT(Parse(Item("spoly", "polygonlabels", R"({"points":[[1,2],[3]]})")),
              StatusIs(kInvalid, HasSubstr("'value.points[1]'")));
  EXPECT_THAT(Parse(Item("sbrush", "brushlabels", R"({"rle":[0,1,300]})")),
              StatusIs(kInvalid, HasSubstr("'value.rle[2]'")));
  EXPECT_THAT(Parse(Item("sbrush", "brushlabels", R"({"rle":[0,1]})")),
              StatusIs(kInvalid, HasSubstr("cut off")));
  EXPECT_THAT(Parse(Item("srect", "rectanglelabels", R"({"x":150,"y":0,"width":5,"height":5})")),
              StatusIs(kInvalid, HasSubstr("outside the image")));
  std::string no_size = Point(1, 1);
  no_size.replace(no_size.find("200"), 3, "0");
  EXPECT_THAT(Parse(no_size), StatusIs(kInvalid, HasSubstr("'original_width'")));
  EXPECT_THAT(Parse(Point(1, 1, R"("is_positive":true,)").replace(0, 0, "")), IsOk());
}

TEST(ContextTest, RescalingFollowsTheImageAndDropsTheMask) {
  InteractivePrompt prompt;
  prompt.size = {100, 50};
  prompt.points = {{{10, 10}, true}};
  prompt.box = vision::Box{0, 0, 50, 50};
  prompt.mask = vision::Mask{{100, 50}, {}};

  prompt = Rescale(std::move(prompt), {200, 200});

  EXPECT_EQ(prompt.points[0].at, (vision::Point{20, 40}));
  EXPECT_EQ(*prompt.box, (vision::Box{0, 0, 100, 200}));
  EXPECT_FALSE(prompt.mask.has_value());
}

TEST(ContextTest, AMaskPromptIsScaledByItsLongestSideToTheCorner) {
  // 8×4, its right half set, on a grid of 4: two pixels a cell, the lower half of the grid is
  // padding.
  const vision::Mask mask{{8, 4}, {{0, 4, 8}, {1, 4, 8}, {2, 4, 8}, {3, 4, 8}}};

  const std::vector<float> logits = MaskPromptLogits(mask, 4);

  EXPECT_THAT(logits, ElementsAre(-10, -10, 10, 10, -10, -10, 10, 10,  //
                                  -10, -10, -10, -10, -10, -10, -10, -10));
}

}  // namespace
}  // namespace label_studio
