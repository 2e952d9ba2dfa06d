#include "trainer/gate/compare_prompts.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace trainer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kPrompts = {"IoU from a box", "IoU after 1 click"};

// IoUs that differ from image to image, all of them higher by `box` and `click`.
std::vector<PromptIous> Ious(std::size_t images, double box, double click) {
  std::vector<PromptIous> ious;
  for (std::size_t i = 0; i < images; ++i) {
    const double of_image = 0.01 * static_cast<double>(i % 3);
    ious.push_back({.objects = 1 + i % 2, .ious = {0.8 + of_image + box, 0.7 - of_image + click}});
  }
  return ious;
}

TEST(ComparePromptsTest, HasTheFiguresOfBoth) {
  // Three objects: one of the first image, two of the second.
  const std::vector<PromptIous> old_ious = {{.objects = 1, .ious = {0.9, 0.6}},
                                            {.objects = 2, .ious = {0.6, 0.3}}};
  const std::vector<PromptIous> new_ious = {{.objects = 1, .ious = {0.9, 0.9}},
                                            {.objects = 2, .ious = {0.9, 0.9}}};
  const PromptComparison comparison = ComparePrompts(kPrompts, old_ious, new_ious, {});

  EXPECT_EQ(comparison.images, 2u);
  EXPECT_EQ(comparison.objects, 3u);
  EXPECT_NEAR(comparison.by_prompt[0].iou->old_score, 0.7, 1e-9) << "each object counts the same";
  EXPECT_NEAR(comparison.by_prompt[1].iou->old_score, 0.4, 1e-9);
  EXPECT_NEAR(comparison.iou->old_score, 0.55, 1e-9);
  EXPECT_NEAR(comparison.iou->new_score, 0.9, 1e-9);

  const boost::json::object report = ToJson(comparison);
  EXPECT_NEAR(report.at("old_score").as_double(), 0.55, 1e-9);
  EXPECT_NEAR(report.at("by_prompt").at("IoU from a box").at("difference").as_double(), 0.2, 1e-9);
  EXPECT_EQ(report.at("objects").to_number<int>(), 3);
}

TEST(ComparePromptsTest, AGainOnAllImagesIsBetterAndSaidWithFigures) {
  const PromptComparison comparison =
      ComparePrompts(kPrompts, Ious(12, 0, 0), Ious(12, 0.05, 0.1), {});
  EXPECT_EQ(comparison.verdict.decision, Decision::kBetter);
  EXPECT_THAT(comparison.verdict.reason,
              AllOf(HasSubstr("IoU from a box goes from 0.810 to 0.860, IoU after 1 click from "),
                    HasSubstr("the mean of all 2 prompts goes from"), HasSubstr("12 images")));
}

// What a user feels: boxes got worse, however much better clicks are.
TEST(ComparePromptsTest, NoKindOfPromptThatWasGoodMayFall) {
  const PromptComparison clearly =
      ComparePrompts(kPrompts, Ious(40, 0, 0), Ious(40, -0.06, 0.2), {});
  EXPECT_GT(clearly.iou->value(), 0.05);
  EXPECT_EQ(clearly.verdict.decision, Decision::kNotBetter);
  EXPECT_THAT(clearly.verdict.fallen, ElementsAre("IoU from a box"));

  const PromptComparison perhaps =
      ComparePrompts(kPrompts, Ious(4, 0, 0), Ious(4, -0.06, 0.29), {});
  EXPECT_EQ(perhaps.verdict.decision, Decision::kUndecided) << perhaps.verdict.reason;
  EXPECT_THAT(perhaps.verdict.perhaps_fallen, ElementsAre("IoU from a box"));
  EXPECT_GT(perhaps.verdict.images_needed, 4);
}

TEST(ComparePromptsTest, TheSameAnswersAreNotBetter) {
  const PromptComparison comparison = ComparePrompts(kPrompts, Ious(4, 0, 0), Ious(4, 0, 0), {});
  EXPECT_EQ(comparison.verdict.decision, Decision::kNotBetter);
  EXPECT_THAT(comparison.verdict.reason, HasSubstr("the very same"));
}

TEST(ComparePromptsTest, WithoutImagesNothingIsDecided) {
  const PromptComparison comparison = ComparePrompts(kPrompts, {}, {}, {}, {.annotated = 8});
  EXPECT_EQ(comparison.verdict.decision, Decision::kUndecided);
  EXPECT_GT(comparison.verdict.images_needed, 8);
  EXPECT_EQ(ToJson(comparison).at("old_score").to_number<double>(), 0);
  EXPECT_TRUE(ToJson(comparison).at("by_prompt").at("IoU from a box").is_null());
}

}  // namespace
}  // namespace trainer
