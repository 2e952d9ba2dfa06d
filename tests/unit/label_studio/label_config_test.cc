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
using testing::Optional;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(LabelConfigTest, TheRecipesConfigHasFiveControlsWithAllLabels) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config,
                       ParseLabelConfig(ReadRecorded("coco80_five_tags.xml")));

  ASSERT_EQ(config.images.size(), 1u);
  EXPECT_EQ(config.images[0].value, "$image");
  ASSERT_EQ(config.controls.size(), 5u);
  EXPECT_EQ(config.controls[0].kind, RegionKind::kRectangle);
  EXPECT_EQ(config.controls[0].type, "rectanglelabels");
  EXPECT_EQ(config.controls[0].labels.size(), 82u)
      << "with Airplane and Car beside airplane and car";
  for (std::size_t i = 1; i < 5; ++i) EXPECT_EQ(config.controls[i].labels.size(), 80u);
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
  ASSERT_EQ(config.controls[0].labels.size(), 1u);
  EXPECT_EQ(config.controls[0].labels[0].value, "cat");
  EXPECT_TRUE(config.controls[1].smart);
  EXPECT_TRUE(config.controls[1].smart_only);
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
  EXPECT_EQ(config.controls[0].labels_name, "what");
  ASSERT_EQ(config.controls[0].labels.size(), 1u);
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

Control WithLabels(std::vector<Label> labels) {
  Control control;
  control.labels = std::move(labels);
  return control;
}

TEST(LabelMatcherTest, AnExactSpellingWinsOverAnEarlierFoldedOne) {
  const LabelMatcher matcher(WithLabels({{"Car"}, {"car"}, {"baseball_bat"}, {"Cell-Phone"}}), {});

  EXPECT_THAT(matcher.Match("car"), Optional(std::string("car")));
  EXPECT_THAT(matcher.Match("CAR"), Optional(std::string("Car")));
  EXPECT_THAT(matcher.Match("baseball bat"), Optional(std::string("baseball_bat")));
  EXPECT_THAT(matcher.Match("cell phone"), Optional(std::string("Cell-Phone")));
  EXPECT_EQ(matcher.Match("dog"), std::nullopt);
}

TEST(LabelMatcherTest, ValuesComeBeforeAliasesBeforePredictedValuesBeforeTheMap) {
  const LabelMatcher matcher(
      WithLabels({{"A", "dog", {}}, {"B", "", {"dog", "sofa"}}, {"sofa"}, {"C", "bird", {"bird"}}}),
      {{"dog", "C"}, {"zebra", "c"}, {"horse", "zebra"}, {"cow", "nowhere"}});

  EXPECT_THAT(matcher.Match("dog"), Optional(std::string("A")));
  EXPECT_THAT(matcher.Match("sofa"), Optional(std::string("sofa")));
  EXPECT_THAT(matcher.Match("bird"), Optional(std::string("C")));
  EXPECT_THAT(matcher.Match("zebra"), Optional(std::string("C")));
  EXPECT_EQ(matcher.Match("horse"), std::nullopt) << "an entry of the map must not lead to another";
  EXPECT_EQ(matcher.Match("cow"), std::nullopt);
}

}  // namespace
}  // namespace label_studio
