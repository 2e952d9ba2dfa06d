#include "segmenter_service/inference/mask_generator.h"

#include <gmock/gmock.h>

#include <opencv2/core.hpp>

#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(CheckOptionsTest, NamesTheFieldThatMakesNoSense) {
  MaskGeneratorOptions options;
  EXPECT_THAT(CheckOptions(options), IsOk());
  options.points_per_side = 0;
  EXPECT_THAT(CheckOptions(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("points_per_side is 0")));
  options.points_per_side = 256;
  options.crop_n_layers = 4;
  EXPECT_THAT(CheckOptions(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("100000 prompts")));
}

// Steps that note the crops and answer every prompt with masks that are nowhere.
class MaskGeneratorTest : public testing::Test {
 protected:
  MaskGeneratorSteps Steps(float logit) {
    return {
        .embed = [this](const vision::Box& crop)
            -> absl::StatusOr<std::shared_ptr<const ImageEmbedding>> {
          crops_.push_back(crop);
          const vision::Size size{static_cast<int>(crop.width()), static_cast<int>(crop.height())};
          return std::make_shared<const ImageEmbedding>(FitInput(size, 64), Embedding{});
        },
        .decode = [logit](const std::shared_ptr<const ImageEmbedding>&,
                          absl::Span<const Prompt> prompts) -> absl::StatusOr<LowResMasks> {
          LowResMasks masks{3, 16, {}, {}};
          masks.logits.assign(prompts.size() * 3 * 16 * 16, logit);
          masks.iou_scores.assign(prompts.size() * 3, 1.0f);
          return masks;
        },
        .progress =
            [this](int done, int total) {
              progress_ = {done, total};
              return absl::OkStatus();
            },
    };
  }

  // As many masks of 16x16 logits as there are prompts. Prompt i gets masks[i % masks.size()] and
  // two masks that are too bad to be taken.
  struct Answer {
    float iou;
    std::vector<cv::Rect> inside;  // cells with foreground
  };
  MaskGeneratorSteps StepsOf(std::vector<Answer> answers) {
    MaskGeneratorSteps steps = Steps(0);
    steps.decode = [answers](const std::shared_ptr<const ImageEmbedding>&,
                             absl::Span<const Prompt> prompts) -> absl::StatusOr<LowResMasks> {
      LowResMasks masks{3, 16, {}, {}};
      masks.logits.assign(prompts.size() * 3 * 16 * 16, -9.0f);
      masks.iou_scores.assign(prompts.size() * 3, 0.0f);
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        const Answer& answer = answers[i % answers.size()];
        masks.iou_scores[3 * i] = answer.iou;
        cv::Mat logits(16, 16, CV_32FC1, &masks.logits[3 * i * 16 * 16]);
        for (const cv::Rect& cells : answer.inside) logits(cells) = 9;
      }
      return masks;
    };
    return steps;
  }

  std::vector<vision::Box> crops_;
  std::pair<int, int> progress_;
};

TEST_F(MaskGeneratorTest, LaysOverlappingCropsAsUpstream) {
  MaskGeneratorOptions options;
  options.points_per_side = 4;
  options.crop_n_layers = 1;
  options.crop_n_points_downscale_factor = 2;

  ASSERT_THAT(GenerateMasks({300, 200}, options, Steps(-9)), IsOk());

  // generate_crop_boxes((200, 300), 1, 512 / 1500): overlap 68, crops of 184 x 134.
  EXPECT_THAT(crops_, ElementsAre(vision::Box{0, 0, 300, 200}, vision::Box{0, 0, 184, 134},
                                  vision::Box{0, 66, 184, 200}, vision::Box{116, 0, 300, 134},
                                  vision::Box{116, 66, 300, 200}));
  EXPECT_EQ(progress_, std::make_pair(16 + 4 * 4, 16 + 4 * 4));
}

TEST_F(MaskGeneratorTest, RepetitionsAreOneMask) {
  MaskGeneratorOptions options;
  options.points_per_side = 4;

  ASSERT_OK_AND_ASSIGN(const std::vector<GeneratedMask> masks,
                       GenerateMasks({30, 20}, options, Steps(9)));

  ASSERT_THAT(masks, SizeIs(1));
  EXPECT_EQ(vision::Area(masks[0].mask), 600);
  EXPECT_EQ(masks[0].point, (vision::Point{3.75f, 2.5f}));
}

TEST_F(MaskGeneratorTest, UnstableMasksAreDropped) {
  MaskGeneratorOptions options;
  options.points_per_side = 2;

  // Between the two thresholds: above -1 everywhere, above 1 nowhere.
  EXPECT_THAT(*GenerateMasks({30, 20}, options, Steps(0.5f)), IsEmpty());
}

TEST_F(MaskGeneratorTest, WhatTheEdgeOfACropCutsOffIsLeftToTheOthers) {
  MaskGeneratorOptions options;
  options.points_per_side = 1;
  options.crop_n_layers = 1;
  options.stability_score_thresh = 0;

  // In crops of 184x134 pixels these cells begin 12 pixels from the left edge, which is nearer than
  // upstream's 20, and end far from the others.
  ASSERT_OK_AND_ASSIGN(const std::vector<GeneratedMask> masks,
                       GenerateMasks({300, 200}, options, StepsOf({{1, {{1, 4, 8, 5}}}})));

  std::vector<vision::Box> of;
  for (const GeneratedMask& mask : masks) of.push_back(mask.crop_box);
  EXPECT_THAT(
      of, testing::UnorderedElementsAre(vision::Box{0, 0, 300, 200}, vision::Box{0, 0, 184, 134},
                                        vision::Box{0, 66, 184, 200}))
      << "there the image ends, too";
}

TEST_F(MaskGeneratorTest, AMaskThatLosesASpeckGivesWayToOneThatHadNone) {
  const cv::Rect object(2, 2, 8, 8);
  const std::vector<Answer> answers = {{0.99f, {object, {14, 14, 1, 1}}}, {0.95f, {object}}};
  MaskGeneratorOptions options;
  options.points_per_side = 2;
  options.stability_score_thresh = 0;
  EXPECT_THAT(*GenerateMasks({64, 64}, options, StepsOf(answers)), SizeIs(2));

  options.min_mask_region_area = 100;  // the speck has some 16
  ASSERT_OK_AND_ASSIGN(const std::vector<GeneratedMask> masks,
                       GenerateMasks({64, 64}, options, StepsOf(answers)));

  ASSERT_THAT(masks, SizeIs(1));
  EXPECT_EQ(masks[0].iou_score, 0.95f);
}

}  // namespace
}  // namespace segmenter
