// What is in the string by which Label Studio tells whether a stored prediction is still ours
// (docs/adr/0408): all that changes answers, and nothing else.
#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "prelabel/project.h"
#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

using testing::StartsWith;

ServedModels Models(bool has_masks = false) {
  ServedModels models;
  models.detector = std::make_shared<const backends::DetectorModel>(backends::DetectorModel{
      .name = "d", .version = "d-1", .classes = {"cat", "dog"}, .has_masks = has_masks});
  models.segmenter = std::make_shared<const backends::SegmenterModel>(
      backends::SegmenterModel{.name = "s", .version = "s-1"});
  return models;
}

std::string Config(const std::string& labels, const std::string& tag = "BrushLabels") {
  return "<View><Image name=\"image\" value=\"$image\"/><" + tag +
         " name=\"control\" toName=\"image\">" + labels + "</" + tag + "></View>";
}
const std::string kCat = R"(<Label value="cat"/>)";

std::string VersionOf(const std::string& config, const Settings& settings = {},
                      const ServedModels& models = Models()) {
  const auto project = Project::Create(config, settings);
  EXPECT_TRUE(project.ok()) << project.status();
  return project.ok() ? (*project)->ModelVersion(models) : "";
}

TEST(ModelVersionTest, BeginsWithBothModelsVersions) {
  EXPECT_THAT(VersionOf(Config(kCat)), StartsWith("d-1+s-1+"));
}

TEST(ModelVersionTest, EverySettingThatChangesAnswersChangesIt) {
  const std::string plain = VersionOf(Config(kCat));
  EXPECT_NE(VersionOf(Config(kCat), {.score_threshold = 0.25}), plain);
  EXPECT_NE(VersionOf(Config(kCat), {.max_detections = 7}), plain);
  EXPECT_NE(VersionOf(Config(kCat), {.degrade = Degrade::kBoxes}), plain);
  EXPECT_NE(VersionOf(Config(kCat), {.label_map = {{"dog", "cat"}}}), plain);
  EXPECT_NE(VersionOf(Config(kCat), {.outputs = "polygon"}), plain);
}

TEST(ModelVersionTest, WhoseMasksTheyAreIsInIt) {
  const Settings of_sam{.mask_source = MaskSource::kSam};
  EXPECT_NE(VersionOf(Config(kCat), {}, Models(/*has_masks=*/true)),
            VersionOf(Config(kCat), of_sam, Models(/*has_masks=*/true)));
  EXPECT_EQ(VersionOf(Config(kCat), {}, Models()), VersionOf(Config(kCat), of_sam, Models()))
      << "a detector without masks leaves no choice";
}

TEST(ModelVersionTest, WhatNoAnswerShowsIsNotInIt) {
  const std::string boxes = Config(kCat, "RectangleLabels");
  EXPECT_EQ(VersionOf(boxes, {.degrade = Degrade::kBoxes}), VersionOf(boxes)) << "no masks at all";
  EXPECT_EQ(VersionOf(Config(kCat + R"(<Label value="spoon"/>)")), VersionOf(Config(kCat)))
      << "no class has this label";
  EXPECT_EQ(VersionOf(Config(R"(<Label value="cat" background="red"/>)")), VersionOf(Config(kCat)));
}

}  // namespace
}  // namespace prelabel
