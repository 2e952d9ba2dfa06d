#include "label_studio/label_config.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <string>

#include "label_studio/label_matcher.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/label_studio/recorded.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(LabelConfigTest, TheRecipesConfigHasFiveControlsWithAllLabels) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config,
                       ParseLabelConfig(ReadRecorded("coco80_five_tags.xml")));

  ASSERT_EQ(config.images.size(), 1u);
  EXPECT_EQ(config.images[0].value, "$image");
  ASSERT_EQ(config.controls.size(), 5u);
  EXPECT_EQ(config.controls[0].kind, RegionKind::kRectangle);
  EXPECT_EQ(config.controls[0].type, "rectanglelabels");
  EXPECT_EQ(config.controls[0].groups[0]->labels.size(), 82u)
      << "with Airplane and Car beside airplane and car";
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(config.controls[i].groups[0]->labels.size(), 80u);
  EXPECT_FALSE(config.has_smart_control());
}

TEST(LabelConfigTest, ControlsAreFoundAtAnyDepthAndOtherTagsIgnored) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(R"(
    <View style="x"><Style>.a { color: red }</Style>
      <Choices name="weather" toName="photo"><Choice value="sun"/></Choices>
      <View><View><RectangleLabels name="boxes" toName="photo" value="Add Rectangle">
        <Header value="h"/><View><Label value="cat"/></View></RectangleLabels></View></View>
      <Image name="photo" value="$photo"/>
      <KeyPointLabels name="points" toName="photo" SMART="True" smartOnly="true"><Label value="dog"/></KeyPointLabels>
    </View>)"));

  ASSERT_EQ(config.controls.size(), 2u);
  EXPECT_EQ(config.controls[0].name, "boxes");
  EXPECT_FALSE(config.controls[0].smart);
  ASSERT_EQ(config.controls[0].groups[0]->labels.size(), 1u);
  EXPECT_EQ(config.controls[0].groups[0]->labels[0].value, "cat");
  EXPECT_TRUE(config.controls[1].smart);
  EXPECT_TRUE(config.controls[1].smart_only);
}

// As Label Studio's smart tools are.
TEST(LabelConfigTest, KeyPointsAndRectanglesTakePromptsUnlessTheySayOtherwise) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(R"(
    <View><Image name="image" value="$image"/><Labels name="l" toName="image"><Label value="cat"/></Labels>
      <KeyPoint name="1" toName="image"/><RectangleLabels name="2" toName="image"/>
      <Rectangle name="3" toName="image" smart="true"/><Brush name="4" toName="image" smartOnly="true"/>
      <KeyPoint name="no" toName="image" smart="False"/><Rectangle name="no" toName="image" smart="false"/>
      <Polygon name="no" toName="image"/><BrushLabels name="no" toName="image"/></View>)"));

  ASSERT_EQ(config.controls.size(), 8u);
  for (const Control& control : config.controls) {
    EXPECT_EQ(control.takes_prompts, control.name != "no") << control.tag();
  }
}

TEST(LabelConfigTest, AControlForTwoImagesCountsForEach) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(R"(
    <View><Image name="left" value="$l"/><Image name="right" valueList="$r"/><Text name="t" value="$t"/>
      <BrushLabels name="b" toName="left, right,t"><Label value="cat"/></BrushLabels></View>)"));

  ASSERT_EQ(config.controls.size(), 2u);
  EXPECT_EQ(config.controls[0].to_name, "left");
  EXPECT_EQ(config.controls[1].to_name, "right");
  EXPECT_TRUE(config.images[1].is_list);
}

TEST(LabelConfigTest, PlainShapesTakeTheLabelsBesideThem) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(R"(
    <View><Image name="image" value="$image"/>
      <Labels name="what" toName="image"><Label value="cat"/></Labels>
      <Rectangle name="box" toName="image"/></View>)"));

  ASSERT_EQ(config.controls.size(), 1u);
  EXPECT_EQ(config.controls[0].type, "rectangle");
  EXPECT_FALSE(config.controls[0].has_own_labels);
  ASSERT_EQ(config.controls[0].groups.size(), 1u);
  EXPECT_EQ(config.controls[0].groups[0]->name, "what");
  ASSERT_EQ(config.controls[0].groups[0]->labels.size(), 1u);
}

TEST(LabelConfigTest, ErrorsSayWhatToDo) {
  EXPECT_THAT(ParseLabelConfig(" \n"), StatusIs(kInvalid, HasSubstr("is empty")));
  EXPECT_THAT(ParseLabelConfig("<View>\n<Image name='a' </View>"),
              StatusIs(kInvalid, HasSubstr("not XML: ")));
  EXPECT_THAT(ParseLabelConfig("<View>\n<Image name='a' </View>"),
              StatusIs(kInvalid, HasSubstr("in line 2")));
  EXPECT_THAT(ParseLabelConfig("\xff\xfe<View/>"), StatusIs(kInvalid, HasSubstr("not UTF-8")));
  EXPECT_THAT(ParseLabelConfig("<View><Text name='t' value='$t'/></View>"),
              StatusIs(kInvalid, HasSubstr("add <Image name=")));
  EXPECT_THAT(ParseLabelConfig("<View><Image name='photo' value='$i'/></View>"),
              StatusIs(kInvalid, HasSubstr("toName=\"photo\"")));
  EXPECT_THAT(ParseLabelConfig("<View><Image name='i' value='$i'/>"
                               "<BrushLabels name='&#xD800;' toName='i'/></View>"),
              StatusIs(kInvalid, HasSubstr("no character")));
}

TEST(LabelConfigTest, DocumentTypesAreRefused) {
  EXPECT_THAT(ParseLabelConfig("<!DOCTYPE v [<!ENTITY a \"aaaa\">]><View>&a;</View>"),
              StatusIs(kInvalid, HasSubstr("document type")));
}

TEST(LabelConfigTest, HostileSizesEndInAnError) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "<a>";
  for (int i = 0; i < 200'000; ++i) deep += "</a>";
  EXPECT_THAT(ParseLabelConfig(deep), StatusIs(kInvalid, HasSubstr("deeper than 64")));

  std::string many = "<View><Image name='i' value='$i'/>";
  for (int i = 0; i < 2000; ++i) many += "<Brush name='b' toName='i'/>";
  EXPECT_THAT(ParseLabelConfig(many + "</View>"), StatusIs(kInvalid, HasSubstr("more than 1000")));

  // 999 plain shapes would each copy 1000 labels.
  std::string copies = "<View><Image name='i' value='$i'/><Labels name='l' toName='i'>";
  for (int i = 0; i < 1000; ++i) copies += "<Label value='a'/>";
  copies += "</Labels>";
  for (int i = 0; i < 990; ++i) copies += "<Brush name='b' toName='i'/>";
  EXPECT_THAT(ParseLabelConfig(copies + "</View>"), StatusIs(kInvalid, HasSubstr("100000 labels")));

  EXPECT_THAT(ParseLabelConfig(std::string((4 << 20) + 1, 'x')),
              StatusIs(kInvalid, HasSubstr("at most")));
}

absl::StatusOr<std::vector<std::string>> Uris(const std::string& value, const char* data,
                                              bool is_list = false) {
  return ImageUris({"image", value, is_list}, boost::json::parse(data).get_object());
}

TEST(ImageUrisTest, FieldsPathsAndTemplatesAreLookedUp) {
  EXPECT_THAT(*Uris("$image", R"({"image":"/a.jpg"})"), ElementsAre("/a.jpg"));
  EXPECT_THAT(*Uris("$views.front[1]", R"({"views":{"front":["/a","/b"]}})"), ElementsAre("/b"));
  EXPECT_THAT(*Uris("$a.b", R"({"a.b":"/flat"})"), ElementsAre("/flat"));
  EXPECT_THAT(*Uris("http://host/$name", R"({"name":"a.jpg"})"), ElementsAre("http://host/a.jpg"));
  EXPECT_THAT(*Uris("$pages", R"({"pages":["/1","/2"]})", true), ElementsAre("/1", "/2"));
  EXPECT_THAT(*Uris("$image", R"({"$undefined$":"/early.jpg"})"), ElementsAre("/early.jpg"));
}

TEST(ImageUrisTest, ErrorsNameTagAndField) {
  EXPECT_THAT(Uris("$image", R"({"photo":"/a"})"),
              StatusIs(kInvalid, "Image tag 'image': the task's data has no field 'image'"));
  EXPECT_THAT(Uris("$image", R"({"image":7})"), StatusIs(kInvalid, HasSubstr("is not text")));
  EXPECT_THAT(Uris("$image", R"({"image":[]})"), StatusIs(kInvalid, HasSubstr("empty list")));
  EXPECT_THAT(Uris("$image", R"({"image":["/a",null]})"),
              StatusIs(kInvalid, HasSubstr("element 1")));
  EXPECT_THAT(Uris("", R"({})"), StatusIs(kInvalid, HasSubstr("has no value")));
}

LabelGroup WithLabels(std::vector<Label> labels) {
  LabelGroup group;
  group.labels = std::move(labels);
  return group;
}

// The value of the label that stands for a class; "" if there is none.
std::string Match(const LabelMatcher& matcher, std::string_view class_name) {
  const Label* const label = matcher.Match(class_name);
  return label == nullptr ? "" : label->value;
}

TEST(LabelMatcherTest, AnExactSpellingWinsOverAnEarlierFoldedOne) {
  const LabelGroup group = WithLabels({{"Car"}, {"car"}, {"baseball_bat"}, {"Cell-Phone"}});
  const LabelMatcher matcher(group, {});

  EXPECT_EQ(Match(matcher, "car"), "car");
  EXPECT_EQ(Match(matcher, "CAR"), "Car");
  EXPECT_EQ(Match(matcher, "baseball bat"), "baseball_bat");
  EXPECT_EQ(Match(matcher, "cell phone"), "Cell-Phone");
  EXPECT_EQ(matcher.Match("dog"), nullptr);
}

TEST(LabelMatcherTest, ValuesComeBeforeAliasesBeforePredictedValuesBeforeTheMap) {
  const LabelGroup group =
      WithLabels({{"A", "dog", {}}, {"B", "", {"dog", "sofa"}}, {"sofa"}, {"C", "bird", {"bird"}}});
  const LabelMatcher matcher(
      group, {{"dog", "C"}, {"zebra", "c"}, {"horse", "zebra"}, {"cow", "nowhere"}});

  EXPECT_EQ(Match(matcher, "dog"), "A");
  EXPECT_EQ(Match(matcher, "sofa"), "sofa");
  EXPECT_EQ(Match(matcher, "bird"), "C");
  EXPECT_EQ(Match(matcher, "zebra"), "C");
  EXPECT_EQ(matcher.Match("horse"), nullptr) << "an entry of the map must not lead to another";
  EXPECT_EQ(matcher.Match("cow"), nullptr);
}

TEST(LabelMatcherTest, ALabelOfAnAliasAloneIsNamedByIt) {
  const LabelGroup group = WithLabels({{"", "B", {}}});
  const LabelMatcher matcher(group, {});

  ASSERT_NE(matcher.Match("b"), nullptr);
  EXPECT_EQ(matcher.Match("b")->written(), "B");
  EXPECT_EQ(matcher.Match("_"), nullptr) << "no value stands for no class";
}

}  // namespace
}  // namespace label_studio
