#include "segmenter_service/inference/prompt.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

constexpr vision::Size kImage{640, 480};
constexpr int kLowRes = 4;

absl::Status Check(const Prompt& prompt) { return CheckPrompt(prompt, kImage, kLowRes); }

Prompt PointAt(float x, float y, int label = 1) {
  Prompt prompt;
  prompt.points.push_back({{x, y}, label});
  return prompt;
}

void ExpectRefused(const Prompt& prompt, const std::string& text) {
  EXPECT_THAT(Check(prompt), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
}

TEST(CheckPromptTest, AcceptsPointsUpToTheEdges) {
  EXPECT_THAT(Check(PointAt(0, 0)), IsOk());
  EXPECT_THAT(Check(PointAt(640, 480, -1)), IsOk());
}

TEST(CheckPromptTest, NamesWhatIsWrongWithAPoint) {
  ExpectRefused(PointAt(640.5f, 10), "points[0] (640.5, 10) lies outside the 640x480 pixel image");
  ExpectRefused(PointAt(10, -0.5f), "lies outside");
  ExpectRefused(PointAt(std::numeric_limits<float>::quiet_NaN(), 0), "not a finite number");
  ExpectRefused(PointAt(1, 1, 2), "points[0] has label 2");
}

TEST(CheckPromptTest, RefusesAnEmptyPrompt) { ExpectRefused(Prompt{}, "is empty"); }

TEST(CheckPromptTest, RefusesBoxesThatCoverNothing) {
  Prompt prompt;
  for (const vision::Box box :
       {vision::Box{700, 10, 800, 20}, vision::Box{50, 10, 50, 20}, vision::Box{50, 30, 60, 20}}) {
    prompt.box = box;
    ExpectRefused(prompt, "covers nothing of the 640x480 pixel image");
  }
  prompt.box = vision::Box{-10, -10, 20, std::numeric_limits<float>::infinity()};
  ExpectRefused(prompt, "not finite");
}

TEST(CheckPromptTest, RefusesMasksOfTheWrongSize) {
  Prompt prompt;
  prompt.mask_logits.resize(15);
  ExpectRefused(prompt, "mask_logits holds 15 values; this model needs 4x4");
  prompt.mask_logits.assign(16, 0);
  EXPECT_THAT(Check(prompt), IsOk());
  prompt.mask_logits[3] = std::numeric_limits<float>::infinity();
  ExpectRefused(prompt, "mask_logits has a number that is not finite");
}

TEST(ToInputTest, ScalesEachAxisByItsOwnRatioAndCutsBoxes) {
  // 375 x 500 becomes 768 x 1024: 2.048 both ways.
  const InputGeometry geometry{{375, 500}, {768, 1024}, 1024};
  Prompt prompt = PointAt(125, 250, 0);
  prompt.box = vision::Box{-5, 0, 500, 250};

  const Prompt input = ToInput(prompt, geometry);

  EXPECT_EQ(input.points[0], (PromptPoint{{256, 512}, 0}));
  EXPECT_EQ(*input.box, (vision::Box{0, 0, 768, 512}));
}

}  // namespace
}  // namespace segmenter
