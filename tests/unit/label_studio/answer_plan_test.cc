#include "label_studio/answer_plan.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "label_studio/generate.h"
#include "tests/testing/status_matchers.h"

namespace label_studio {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Cat"/></BrushLabels>
  <RectangleLabels name="boxes" toName="image"><Label value="cat"/><Label value="dog"/></RectangleLabels>
  <RectangleLabels name="srect" toName="image" smart="true"><Label value="cat"/><Label value="dog"/><Label value="cow"/></RectangleLabels>
  <KeyPointLabels name="skp" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)";

LabelConfig Config(const std::string& xml = kConfig) { return *ParseLabelConfig(xml); }

InteractivePrompt PromptWithLabel(const std::string& label) {
  InteractivePrompt prompt;
  prompt.to_name = "image";
  prompt.from_name = "skp";
  if (!label.empty()) prompt.labels = {label};
  return prompt;
}

// "control:label" of each target; labels of several groups are "group=label".
std::vector<std::string> Targets(const InteractivePrompt& prompt, const LabelConfig& config) {
  const auto targets = AnswerPlan(config).ChooseTargets(prompt);
  if (!targets.ok()) return {std::string(targets.status().message())};
  std::vector<std::string> texts;
  for (const AnswerTarget& target : *targets) {
    std::string text = target.control->name;
    for (const Labelling& labelling : target.labels) {
      for (const std::string& label : labelling.labels) {
        text += ":" + labelling.group->name + (labelling.group->name.empty() ? "" : "=") + label;
      }
    }
    texts.push_back(text);
  }
  return texts;
}

TEST(AnswerPlanTest, BrushComesFirstThenWhateverHasTheLabel) {
  EXPECT_THAT(Targets(PromptWithLabel("cat"), Config()), ElementsAre("brush:Cat"))
      << "as the target spells it";
  EXPECT_THAT(Targets(PromptWithLabel("dog"), Config()), ElementsAre("boxes:dog"));
  EXPECT_THAT(Targets(PromptWithLabel("cow"), Config()), ElementsAre("srect:cow"))
      << "a smart one only if no other has the label";
}

TEST(AnswerPlanTest, AClickGivesABoxTooIfOneListHasTheLabelsOfBoth) {
  const LabelConfig printed = Config(GenerateLabelConfig({"cat", "dog"}));
  const LabelConfig lists = Config(R"(<View><Image name="image" value="$i"/>
    <RectangleLabels name="rectangle" toName="image"><Label value="cat"/></RectangleLabels>
    <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)");
  InteractivePrompt drawn = PromptWithLabel("cat");
  drawn.has_rectangle = true;

  const auto both = ElementsAre("brush:label=cat", "rectangle:label=cat");
  EXPECT_THAT(Targets(PromptWithLabel("cat"), printed), both);
  EXPECT_THAT(Targets(drawn, printed), both);
  EXPECT_THAT(Targets(PromptWithLabel("cat"), lists), ElementsAre("brush:cat"));
  EXPECT_THAT(Targets(drawn, lists), ElementsAre("brush:cat", "rectangle:cat"));
}

TEST(AnswerPlanTest, AllLabelsOfThePromptAreKeptWhereSeveralAreAllowed) {
  const auto config = [](const std::string& choice) {
    return Config(R"(<View><Image name="image" value="$i"/><BrushLabels name="b" toName="image")" +
                  choice + R"(><Label value="cat"/><Label value="dog"/></BrushLabels></View>)");
  };
  InteractivePrompt prompt = PromptWithLabel("cat");
  prompt.labels.push_back("dog");

  EXPECT_THAT(Targets(prompt, config(R"( choice="multiple")")), ElementsAre("b:cat:dog"));
  EXPECT_THAT(Targets(prompt, config("")), ElementsAre("b:cat"));
}

TEST(AnswerPlanTest, ADrawnBoxIsWrittenUnlessItsControlIsForPromptsOnly) {
  const auto config = [](const std::string& smart) {
    return Config(R"(<View><Image name="image" value="$i"/>
      <BrushLabels name="b" toName="image"><Label value="cat"/></BrushLabels>
      <RectangleLabels name="r" toName="image")" +
                  smart + R"(><Label value="cat"/></RectangleLabels></View>)");
  };
  InteractivePrompt prompt = PromptWithLabel("cat");
  EXPECT_THAT(Targets(prompt, config("")), ElementsAre("b:cat")) << "nobody drew a box";
  prompt.has_rectangle = true;

  EXPECT_THAT(Targets(prompt, config("")), ElementsAre("b:cat", "r:cat"));
  EXPECT_THAT(Targets(prompt, config(R"( smart="true")")), ElementsAre("b:cat", "r:cat"));
  EXPECT_THAT(Targets(prompt, config(R"( smartOnly="true")")), ElementsAre("b:cat"));
}

TEST(AnswerPlanTest, ALabelIsFoundAsItIsWrittenBeforeAnyThatIsLikeIt) {
  const LabelConfig config = Config(R"(<View><Image name="image" value="$i"/>
    <BrushLabels name="b" toName="image"><Label value="A b"/><Label value="dog" alias="a_b"/>
      <Label value="a_b"/><Label value="cat" alias="Dog"/></BrushLabels></View>)");

  EXPECT_THAT(Targets(PromptWithLabel("a_b"), config), ElementsAre("b:a_b"));
  EXPECT_THAT(Targets(PromptWithLabel("A b"), config), ElementsAre("b:A b"));
  EXPECT_THAT(Targets(PromptWithLabel("a-b"), config), ElementsAre("b:A b")) << "the first";
  EXPECT_THAT(Targets(PromptWithLabel("Dog"), config), ElementsAre("b:Dog"));
  EXPECT_THAT(Targets(PromptWithLabel("dog"), config), ElementsAre("b:a_b")) << "by its value";
}

TEST(AnswerPlanTest, ErrorsSayWhatToAdd) {
  const LabelConfig config = Config();
  EXPECT_THAT(AnswerPlan(config).ChooseTargets(PromptWithLabel("ant")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has the label 'ant'")));
  const LabelConfig points = Config(R"(<View><Image name="image" value="$i"/>
    <KeyPointLabels name="skp" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)");
  EXPECT_THAT(AnswerPlan(points).ChooseTargets(PromptWithLabel("cat")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("add <BrushLabels")));
}

}  // namespace
}  // namespace label_studio
