#include "label_studio/generate.h"

#include <gmock/gmock.h>

#include <pugixml.hpp>
#include <string>
#include <vector>

#include "label_studio/label_config.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/label_studio/recorded.h"

namespace label_studio {
namespace {

using testing::ElementsAre;

// An attribute of all tags of that name, in document order.
std::vector<std::string> Attributes(const std::string& xml, const char* tag, const char* name) {
  pugi::xml_document document;
  EXPECT_TRUE(document.load_string(xml.c_str()));
  std::vector<std::string> values;
  for (const pugi::xpath_node& node :
       document.select_nodes((std::string("//") + tag + "/@" + name).c_str())) {
    values.emplace_back(node.attribute().value());
  }
  return values;
}

TEST(GenerateTest, TheConfigParsesAndKeepsEveryName) {
  const std::vector<std::string> names = {"cat", "R&D <x>", "\"quoted\"", "café"};

  const std::string xml = GenerateLabelConfig(names);

  ASSERT_OK_AND_ASSIGN(const LabelConfig config, ParseLabelConfig(xml));
  EXPECT_EQ(config.controls.size(), 3u);
  EXPECT_EQ(Attributes(xml, "Label", "value"), names);
  EXPECT_TRUE(config.has_smart_control("image"));
}

TEST(GenerateTest, OneListOfLabelsServesAllTools) {
  const std::string xml = GenerateLabelConfig({"cat", "dog"});

  EXPECT_THAT(Attributes(xml, "Labels", "toName"), ElementsAre("image"));
  EXPECT_THAT(Attributes(xml, "*[contains(name(), 'Labels')]", "name"), ElementsAre("label"));
}

TEST(GenerateTest, ToolsThatNothingAnswersAreLeftOut) {
  const auto tools = [](const GenerateOptions& options) {
    return Attributes(GenerateLabelConfig({"cat"}, options), "*[@toName and name() != 'Labels']",
                      "name");
  };

  EXPECT_THAT(tools({}), ElementsAre("rectangle", "brush", "point"));
  EXPECT_THAT(tools({.masks = true, .smart_tools = false}), ElementsAre("rectangle", "brush"));
  EXPECT_THAT(tools({.masks = false, .smart_tools = false}), ElementsAre("rectangle"));
  // By default a rectangle is smart, too.
  EXPECT_THAT(Attributes(GenerateLabelConfig({"cat"}), "Rectangle", "smart"), ElementsAre());
  EXPECT_THAT(
      Attributes(GenerateLabelConfig({"cat"}, {.smart_tools = false}), "Rectangle", "smart"),
      ElementsAre("false"));
}

TEST(GenerateTest, ExportsNumberTheLabelsAsTheModelItsClasses) {
  const std::string xml = GenerateLabelConfig({"zebra", "cat", "zebra", "ant"});

  EXPECT_THAT(Attributes(xml, "Label", "value"), ElementsAre("zebra", "cat", "ant"));
  EXPECT_THAT(Attributes(xml, "Label", "category"), ElementsAre("0", "1", "3"));
}

TEST(GenerateTest, ManyLabelsHaveASearchField) {
  EXPECT_THAT(Attributes(GenerateLabelConfig(std::vector<std::string>(1, "a")), "Filter", "toName"),
              ElementsAre());
  std::vector<std::string> names;
  for (int i = 0; i < 80; ++i) names.push_back("class " + std::to_string(i));

  EXPECT_THAT(Attributes(GenerateLabelConfig(names), "Filter", "toName"), ElementsAre("label"));
}

// tests/e2e/test_export.py shows this file to a browser.
TEST(GenerateTest, TheConfigOfEightyClassesIsTheOneThatWasTriedInABrowser) {
  const std::string tried = ReadRecorded("generated_coco80.xml");
  const std::vector<std::string> names = Attributes(tried, "Label", "value");
  ASSERT_EQ(names.size(), 80u);

  EXPECT_EQ(GenerateLabelConfig(names), tried);
}

}  // namespace
}  // namespace label_studio
