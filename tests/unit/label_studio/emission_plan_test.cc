#include "label_studio/emission_plan.h"

#include <gmock/gmock.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> kClasses = {"car", "dog"};

// A control on the image with these labels ("" for none).
std::string Control(const std::string& tag, const std::string& name,
                    const std::vector<std::string>& labels, const std::string& attributes = "") {
  std::string xml = "<" + tag + " name='" + name + "' toName='image' " + attributes + ">";
  for (const std::string& label : labels) xml += "<Label value='" + label + "'/>";
  return xml + "</" + tag + ">";
}

std::string Xml(const std::string& controls) {
  return "<View><Image name='image' value='$image'/>" + controls + "</View>";
}

LabelConfig Config(const std::string& controls) { return *ParseLabelConfig(Xml(controls)); }

EmissionPlan Plan(const LabelConfig& config, const EmissionPlan::Options& options = {}) {
  return EmissionPlan::Make(config, config.images[0], kClasses, options);
}

// "control" of a bare control, "control:label", or "control:group=label".
std::string Text(const EmissionPlan::Target& target) {
  std::string text = target.control->name;
  if (target.group == nullptr) return text;
  text += ":";
  if (!target.group->name.empty()) text += target.group->name + "=";
  return text + target.label->written();
}

std::vector<std::string> Targets(const EmissionPlan& plan, const std::string& class_name) {
  std::vector<std::string> texts;
  for (const auto& target : plan.TargetsOf(class_name)) texts.push_back(Text(target));
  return texts;
}

std::vector<std::string> Targets(const std::string& controls, const std::string& class_name,
                                 const EmissionPlan::Options& options = {}) {
  const LabelConfig config = Config(controls);
  return Targets(Plan(config, options), class_name);
}

std::string AllKinds() {
  std::string controls;
  for (const RegionKindInfo& info : RegionKinds()) {
    controls += Control(std::string(info.tag) + "Labels", std::string(info.name), kClasses);
  }
  return controls;
}

TEST(EmissionPlanTest, RectanglesAndOneKindOfMaskByDefault) {
  const std::string polygons =
      Control("PolygonLabels", "p", kClasses) + Control("EllipseLabels", "e", kClasses);
  const std::string few =
      Control("EllipseLabels", "e", kClasses) + Control("KeyPointLabels", "k", kClasses);

  EXPECT_THAT(Targets(AllKinds(), "dog"), ElementsAre("rectangle:dog", "brush:dog"));
  EXPECT_THAT(Targets(polygons, "dog"), ElementsAre("p:dog"));
  EXPECT_THAT(Targets(few, "dog"), ElementsAre("e:dog", "k:dog"));
  EXPECT_TRUE(Plan(Config(AllKinds())).needs_masks());
  EXPECT_FALSE(Plan(Config(Control("RectangleLabels", "r", kClasses))).needs_masks());
}

TEST(EmissionPlanTest, OutputsChooseTheKinds) {
  EXPECT_THAT(Targets(AllKinds(), "car", {.outputs = *ParseOutputs("polygon, Keypoint")}),
              ElementsAre("polygon:car", "keypoint:car"));
  EXPECT_THAT(Targets(AllKinds(), "car", {.outputs = *ParseOutputs("auto")}),
              ElementsAre("rectangle:car", "brush:car"));
  EXPECT_THAT(ParseOutputs("brush,cube"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'cube' is unknown")));
}

TEST(EmissionPlanTest, SmartControlsAreNeverWrittenInto) {
  const std::string controls = Control("RectangleLabels", "smart", kClasses, "smart='true'") +
                               Control("RectangleLabels", "r", kClasses) +
                               Control("BrushLabels", "sb", kClasses, "smart='true'");

  EXPECT_THAT(Targets(controls, "car"), ElementsAre("r:car"));
  const LabelConfig only = Config(Control("BrushLabels", "sb", kClasses, "smartOnly='true'"));
  EXPECT_TRUE(Plan(only).empty());
}

TEST(EmissionPlanTest, AClassGoesToTheFirstControlThatHasItsLabel) {
  const std::string controls = Control("RectangleLabels", "animals", {"dog", "cat"}) +
                               Control("RectangleLabels", "vehicles", {"car", "dog"}) +
                               Control("BrushLabels", "brush", {"car"}) +
                               Control("BrushLabels", "more", {"dog"});

  EXPECT_THAT(Targets(controls, "car"), ElementsAre("vehicles:car", "brush:car"));
  EXPECT_THAT(Targets(controls, "dog"), ElementsAre("animals:dog", "more:dog"));
}

TEST(EmissionPlanTest, OfBrushAndPolygonTheFirstThatCanTakeAClassIsWritten) {
  const std::string stuff = Control("BrushLabels", "stuff", {"scratch"}) +
                            Control("PolygonLabels", "things", {"car", "dog"});
  const std::string both =
      Control("BrushLabels", "brush", {"car"}) + Control("PolygonLabels", "polygon", kClasses);

  EXPECT_THAT(Targets(stuff, "car"), ElementsAre("things:car"));
  EXPECT_THAT(Targets(both, "car"), ElementsAre("brush:car"));
  EXPECT_THAT(Targets(both, "dog"), IsEmpty()) << "of the two only one kind is written";
}

TEST(EmissionPlanTest, OfSeveralGroupsOfLabelsTheFirstThatHasTheClassIsTaken) {
  const std::string controls =
      "<Labels name='state' toName='image'><Label value='new'/></Labels>"
      "<Labels name='what' toName='image'><Label value='Car'/></Labels>"
      "<Labels name='again' toName='image'><Label value='car'/><Label value='dog'/></Labels>"
      "<Rectangle name='box' toName='image'/><Brush name='mask' toName='image'/>";

  EXPECT_THAT(Targets(controls, "car"), ElementsAre("box:what=Car", "mask:what=Car"));
  EXPECT_THAT(Targets(controls, "dog"), ElementsAre("box:again=dog", "mask:again=dog"));
}

TEST(EmissionPlanTest, AnAliasIsWrittenInsteadOfTheValue) {
  EXPECT_THAT(Targets("<RectangleLabels name='r' alias='other' toName='image'>"
                      "<Label value='car' alias='vehicle'/></RectangleLabels>",
                      "car"),
              ElementsAre("r:vehicle"))
      << "the editor has no alias of a control";
}

TEST(EmissionPlanTest, BareControlsTakeEverythingIfTheImageHasNoLabels) {
  EXPECT_THAT(
      Targets("<Rectangle name='r' toName='image'/><Brush name='b' toName='image'/>"
              "<Choices name='c' toName='image' perRegion='true'><Choice value='x'/></Choices>",
              "car"),
      ElementsAre("r", "b"));
  EXPECT_THAT(
      Targets("<Ellipse name='e' toName='image'/><KeyPoint name='k' toName='image'/>", "car"),
      ElementsAre("e", "k"));
}

TEST(EmissionPlanTest, BareControlsTakeWhatHasALabelElsewhereOnTheImage) {
  const std::string controls =
      "<Rectangle name='bare' toName='image'/>" + Control("BrushLabels", "b", {"car"});

  EXPECT_THAT(Targets(controls, "car"), ElementsAre("bare", "b:car"));
  EXPECT_THAT(Targets(controls, "dog"), IsEmpty());
  EXPECT_THAT(Targets(controls + Control("RectangleLabels", "r", {"car"}), "car"),
              ElementsAre("r:car", "b:car"))
      << "a label is worth more than the order";
}

TEST(EmissionPlanTest, WithoutMasksBoxesAloneAreWritten) {
  const LabelConfig both =
      Config(Control("RectangleLabels", "r", kClasses) + Control("BrushLabels", "b", kClasses));
  const LabelConfig masks = Config(Control("BrushLabels", "b", kClasses));
  const EmissionPlan boxes = Plan(both, {.masks_available = false});

  EXPECT_THAT(Targets(boxes, "car"), ElementsAre("r:car"));
  EXPECT_FALSE(boxes.needs_masks());
  EXPECT_TRUE(boxes.lacks_masks());
  EXPECT_NE(boxes.Describe(), Plan(both).Describe());
  EXPECT_TRUE(Plan(masks, {.masks_available = false}).empty());
  EXPECT_FALSE(Plan(both).lacks_masks());
}

TEST(EmissionPlanTest, AConfigWhoseLabelsAreNoClassesSaysSo) {
  const LabelConfig things = Config(Control("RectangleLabels", "r", {"thing"}));
  const LabelConfig bare = Config("<Rectangle name='r' toName='image'/>");
  const LabelConfig dynamic = Config(Control("RectangleLabels", "r", {}, "value='$classes'"));

  EXPECT_TRUE(Plan(things).matches_no_class());
  EXPECT_TRUE(Plan(things).empty());
  EXPECT_FALSE(Plan(things, {.label_map = {{"car", "thing"}}}).matches_no_class());
  EXPECT_FALSE(Plan(bare).matches_no_class());
  EXPECT_FALSE(Plan(dynamic).matches_no_class()) << "the tasks have the labels";
  EXPECT_FALSE(Plan(dynamic).empty());
}

TEST(EmissionPlanTest, DescribeTellsWhatChangesAnswersAndNothingElse) {
  const auto describe = [](const std::string& controls) {
    return Plan(Config(controls)).Describe();
  };
  const std::string one = describe(Control("RectangleLabels", "r", kClasses));

  EXPECT_EQ(one, describe("<Header value='h'/>" + Control("RectangleLabels", "r", kClasses) +
                          Control("RectangleLabels", "second", kClasses)));
  EXPECT_EQ(one, describe(Control("RectangleLabels", "r", {"car", "dog", "thing"})));
  EXPECT_NE(one, describe(Control("RectangleLabels", "r", {"car", "Dog"})));
  EXPECT_NE(one, describe(Control("RectangleLabels", "other", kClasses)));
  EXPECT_NE(one, describe("<RectangleLabels name='r' toName='image'><Label value='car' alias='c'/>"
                          "<Label value='dog'/></RectangleLabels>"));
  EXPECT_NE(describe(Control("RectangleLabels", "r", {}, "value='$a'")),
            describe(Control("RectangleLabels", "r", {}, "value='$b'")));
}

// ---- Configs that depend on the task.

LabelConfig ForTask(const std::string& xml, const char* data) {
  return *ParseLabelConfig(xml, boost::json::parse(data).get_object());
}

TEST(TaskConfigTest, LabelsOfTheTaskAreTextsOrObjects) {
  const std::string xml =
      Xml(Control("RectangleLabels", "r", {"thing"}, "value='$meta.classes'") +
          "<Labels name='l' toName='image' value='$more'/><Brush name='b' toName='image'/>");
  EXPECT_TRUE(ParseLabelConfig(xml)->depends_on_task);

  const LabelConfig config = ForTask(
      xml, R"({"meta": {"classes": ["car", {"value": "Hund", "alias": "dog", "background": "red"}]},
               "more": [{"value": "Car"}]})");

  const EmissionPlan plan = Plan(config);
  EXPECT_THAT(Targets(plan, "car"), ElementsAre("r:car", "b:l=Car"));
  EXPECT_THAT(Targets(plan, "dog"), ElementsAre("r:dog"));
  EXPECT_THAT(Targets(Plan(ForTask(xml, "{}")), "thing"), IsEmpty()) << "not a class";
}

TEST(TaskConfigTest, WhatIsNoLabelIsNamed) {
  const std::string xml = Xml(Control("RectangleLabels", "r", {}, "value='$classes'"));
  const auto parse = [&](const char* data) {
    return ParseLabelConfig(xml, boost::json::parse(data).get_object());
  };
  EXPECT_THAT(parse(R"({"classes": "car"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'$classes'")));
  EXPECT_THAT(parse(R"({"classes": ["car", 7]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("element 1 is a number")));
  EXPECT_THAT(parse(R"({"classes": []})"), IsOk());
  EXPECT_THAT(parse(R"({})"), IsOk()) << "the editor then shows the config's own labels";
}

constexpr char kPages[] = R"(<View><Repeater on="$pages" indexFlag="{{idx}}" mode="pagination">
    <View><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>
      <RectangleLabels name="boxes_{{idx}}" toName="page_{{idx}}"><Label value="car"/></RectangleLabels>
    </View></Repeater></View>)";

TEST(TaskConfigTest, ARepeaterWritesItsTagsForEachElement) {
  const LabelConfig config =
      ForTask(kPages, R"({"pages": [{"url": "/a"}, {"url": "/b"}, {"url": "/c"}]})");

  ASSERT_EQ(config.images.size(), 3u);
  EXPECT_EQ(config.images[2].name, "page_2");
  EXPECT_EQ(config.images[2].value, "$pages[2].url");
  ASSERT_EQ(config.controls.size(), 3u);
  EXPECT_EQ(config.controls[1].name, "boxes_1");
  EXPECT_EQ(config.controls[1].to_name, "page_1");
  EXPECT_EQ(config.controls[1].groups[0]->labels.size(), 1u);
}

TEST(TaskConfigTest, WithoutATaskARepeaterHasOneElement) {
  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(kPages));

  EXPECT_TRUE(config.depends_on_task);
  ASSERT_EQ(config.controls.size(), 1u);
  EXPECT_EQ(config.controls[0].name, "boxes_0");
  EXPECT_THAT(ForTask(kPages, R"({"pages": []})").images, IsEmpty());
}

TEST(TaskConfigTest, RepeatersInsideOfOthersHaveTheirOwnFlags) {
  const LabelConfig config = ForTask(
      R"(<View><Repeater on="$docs" indexFlag="[[d]]"><Repeater on="$docs[[[d]]].pages" indexFlag="{{p}}">
        <Image name="i_[[d]]_{{p}}" value="$docs[[[d]]].pages[{{p}}]"/>
        <Rectangle name="r_[[d]]_{{p}}" toName="i_[[d]]_{{p}}"/></Repeater></Repeater></View>)",
      R"({"docs": [{"pages": ["/a", "/b"]}, {"pages": ["/c"]}]})");

  std::vector<std::string> names;
  for (const auto& image : config.images) names.push_back(image.name + " " + image.value);
  EXPECT_THAT(names, ElementsAre("i_0_0 $docs[0].pages[0]", "i_0_1 $docs[0].pages[1]",
                                 "i_1_0 $docs[1].pages[0]"));
  EXPECT_EQ(config.controls.size(), 3u);
}

TEST(TaskConfigTest, RepeatersThatCannotBeServedSayWhy) {
  const auto parse = [](const std::string& xml, const char* data) {
    return ParseLabelConfig(xml, boost::json::parse(data).get_object());
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(parse(kPages, "{}"), StatusIs(kInvalid, HasSubstr("has no field 'pages'")));
  EXPECT_THAT(parse(kPages, R"({"pages": "/a.jpg"})"),
              StatusIs(kInvalid, HasSubstr("is a string; needed: a list")));
  EXPECT_THAT(ParseLabelConfig("<View><Repeater><Image name='i' value='$i'/></Repeater></View>"),
              StatusIs(kInvalid, HasSubstr("Repeater has on=\"\"")));
  EXPECT_THAT(
      ParseLabelConfig("<View><Repeater on='$p'><Image name='i_{{idx}}' value='$p[{{idx}}]'/>"
                       "<RectangleLabels name='r' toName='i'/></Repeater></View>"),
      StatusIs(kInvalid, HasSubstr("no control")));
  EXPECT_THAT(ParseLabelConfig("<View><Repeater on='$p'><Image name='i' value='$p[{{idx}}]'/>"
                               "<Rectangle name='r_{{idx}}' toName='i'/></Repeater></View>"),
              StatusIs(kInvalid, HasSubstr("gives <Image name=\"i\"> the same name")));
  EXPECT_THAT(
      ParseLabelConfig("<View><Repeater on='$p'><Image name='i{{idx}}' value='$p[{{idx}}]'/>"
                       "<Rectangle name='r' toName='i{{idx}}'/></Repeater></View>"),
      StatusIs(kInvalid, HasSubstr("<Rectangle name=\"r\"> the same name")));

  // 40 levels of two elements each.
  std::string deep = "<View>";
  for (int i = 0; i < 40; ++i) deep += "<Repeater on='$two'>";
  for (int i = 0; i < 40; ++i) deep += "</Repeater>";
  EXPECT_THAT(parse(deep + "</View>", R"({"two": [1, 2]})"),
              StatusIs(kInvalid, HasSubstr("all repeaters together")));
  const std::string wide = "<View><Repeater on='$two'><Header value='{{idx}}" +
                           std::string(3'000'000, 'x') + "'/></Repeater></View>";
  EXPECT_THAT(parse(wide, R"({"two": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]})"),
              StatusIs(kInvalid, HasSubstr("32000000 bytes")));
}

// A config of 4 MiB has place for 800,000 empty attributes, or 350,000 empty texts, in one tag.
TEST(TaskConfigTest, ARepeaterCannotMultiplyWhatHasNoText) {
  constexpr std::size_t kPages = 1000;
  std::string attributes, texts;
  for (int i = 0; i < 1000; ++i) {
    attributes += " a=''";
    texts += "<![CDATA[]]>";
  }
  const boost::json::object data = {{"pages", boost::json::array(kPages, nullptr)}};
  for (const std::string& tag : {"<View" + attributes + "/>", "<View>" + texts + "</View>"}) {
    EXPECT_THAT(ParseLabelConfig("<View><Repeater on='$pages'>" + tag + "</Repeater></View>", data),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("all repeaters together")));
  }
}

// The editor's sources mean to infer it, but Label Studio 1.23 then shows no image.
TEST(TaskConfigTest, AControlWithoutToNameIsNone) {
  EXPECT_THAT(
      ParseLabelConfig(Xml("<RectangleLabels name='r'><Label value='car'/></RectangleLabels>")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("with a name and toName=\"image\"")));
}

}  // namespace
}  // namespace label_studio
