#include "detector_service/inference/postprocess.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

namespace detector {
namespace {

// A raw output with nothing in it, of a 64×64 input: 8×8, 4×4 and 2×2 cells. Owns its memory.
class EmptyOutput {
 public:
  explicit EmptyOutput(int num_classes) {
    output_.num_classes = num_classes;
    for (int i = 0; i < kLevels; ++i) {
      const int side = 64 / kStrides[i];
      logits_[i].assign(side * side * num_classes, -20);
      distances_[i].assign(side * side * 4, 0);
      output_.levels[i] = {.grid = {side, side},
                           .logits = {logits_[i].data(), static_cast<std::size_t>(num_classes)},
                           .boxes = {distances_[i].data(), 4}};
    }
  }

  // An object at a cell of `level` whose box reaches `reach` input pixels to every side.
  EmptyOutput& Add(int level, int x, int y, int class_id, float score, float reach) {
    const int cell = y * output_.levels[level].grid.width + x;
    logits_[level][cell * output_.num_classes + class_id] = std::log(score / (1 - score));
    std::fill_n(&distances_[level][cell * 4], 4, reach);
    return *this;
  }
  // The first call gives the output an objectness, zero everywhere else.
  void SetObjectness(int level, int x, int y, float objectness) {
    for (int i = 0; i < kLevels; ++i) {
      const vision::Size grid = output_.levels[i].grid;
      objectness_[i].resize(grid.width * grid.height, -20);
      output_.levels[i].objectness = {objectness_[i].data(), 1};
    }
    objectness_[level][y * output_.levels[level].grid.width + x] =
        std::log(objectness / (1 - objectness));
  }
  float* distances(int level, int cell) { return &distances_[level][cell * 4]; }

  std::vector<Detection> Detect(const PostprocessOptions& options,
                                Placement placement = {.image = {64, 64}}) const {
    return Postprocess(output_, placement, {64, 64}, options);
  }

 private:
  RawOutput output_;
  std::vector<float> logits_[kLevels];
  std::vector<float> distances_[kLevels];
  std::vector<float> objectness_[kLevels];
};

TEST(PostprocessTest, BoxesAreMeasuredFromTheCellsTopLeftCorner) {
  EmptyOutput output(2);
  output.Add(/*level=*/0, /*x=*/3, /*y=*/2, /*class_id=*/1, 0.9F, /*reach=*/4);

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].box, (vision::Box{20, 12, 28, 20}));
  EXPECT_EQ(found[0].class_id, 1);
  EXPECT_NEAR(found[0].score, 0.9, 1e-6);
}

TEST(PostprocessTest, BoxesAreInPixelsOfThePicture) {
  EmptyOutput output(1);
  output.Add(0, 3, 2, 0, 0.9F, 4);

  const auto found = output.Detect({}, {.image = {32, 16}, .scale_x = 2, .scale_y = 4});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].box, (vision::Box{10, 3, 14, 5}));
}

TEST(PostprocessTest, TheBetterOfTwoOverlappingBoxesOfAClassWins) {
  EmptyOutput output(2);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(1, 1, 1, 0, 0.9F, 16).Add(0, 4, 3, 0, 0.6F, 8);

  // Boxes (16,16,32,32) and (24,16,40,32) share a third: 0.33.
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.3}).size(), 2U);
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.4}).size(), 3U);
}

TEST(PostprocessTest, BoxesOfDifferentClassesDoNotCompete) {
  EmptyOutput output(2);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 3, 3, 1, 0.9F, 8);

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].class_id, 1);  // best first
}

TEST(PostprocessTest, ScoresMustBeGreaterThanTheThreshold) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.5F, 8);  // logit 0: exactly one half

  EXPECT_EQ(output.Detect({.score_threshold = 0.5}).size(), 0U);
  EXPECT_EQ(output.Detect({.score_threshold = 0.4999}).size(), 1U);
}

TEST(PostprocessTest, OnlyWantedClassesAreFoundAndOnlySoMany) {
  EmptyOutput output(3);
  output.Add(0, 1, 1, 0, 0.9F, 4).Add(0, 4, 4, 1, 0.8F, 4).Add(0, 6, 6, 2, 0.7F, 4);

  EXPECT_EQ(output.Detect({.max_detections = 2}).size(), 2U);
  const auto found = output.Detect({.wanted_classes = {false, false, true}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].class_id, 2);
}

TEST(PostprocessTest, ClippingKeepsBoxesInsideThePictureAndDropsThoseBesideIt) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.9F, 16).Add(0, 7, 7, 0, 0.8F, 4);
  const Placement narrow{.image = {30, 64}};  // the rest of the input is padding

  const auto clipped = output.Detect({}, narrow);
  ASSERT_EQ(clipped.size(), 1U);
  EXPECT_EQ(clipped[0].box, (vision::Box{8, 8, 30, 40}));

  const auto unclipped = output.Detect({.clip_to_image = false}, narrow);
  ASSERT_EQ(unclipped.size(), 2U);
  EXPECT_EQ(unclipped[0].box, (vision::Box{8, 8, 40, 40}));
}

TEST(PostprocessTest, MmyolosBoxesLoseThePaddingAndAreClampedInTheEnd) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.9F, 16).Add(0, 0, 3, 0, 0.8F, 4);
  // 16 × 32 pixels, doubled, between 16 columns of padding on either side.
  const Placement placement{.image = {16, 32}, .scale_x = 2, .scale_y = 2, .left = 16, .top = 0};

  const auto found = output.Detect(
      {.rule = PostprocessRule::kMmyolo, .min_bbox_size = -1, .clip_to_image = false}, placement);

  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].box, (vision::Box{0, 4, 12, 20}));  // from (8, 8, 40, 40)
  EXPECT_EQ(found[1].box, (vision::Box{0, 10, 0, 14}));  // beside the picture
}

TEST(PostprocessTest, NmsPreCountsPerLevelInMmdetAndAltogetherInMmyolo) {
  EmptyOutput output(1);
  output.Add(0, 1, 1, 0, 0.9F, 4).Add(1, 2, 2, 0, 0.8F, 4);

  EXPECT_EQ(output.Detect({.nms_pre = 1}).size(), 2U);
  EXPECT_EQ(output.Detect({.rule = PostprocessRule::kMmyolo, .nms_pre = 1}).size(), 1U);
}

TEST(PostprocessTest, WithoutMultiLabelABoxHasOneClass) {
  EmptyOutput output(3);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 3, 3, 2, 0.9F, 8);

  const auto found = output.Detect({.multi_label = false});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].class_id, 2);
}

TEST(PostprocessTest, ObjectnessScalesScores) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 6, 6, 0, 0.8F, 8);
  output.SetObjectness(0, 3, 3, 0.5F);

  const auto found = output.Detect({.score_threshold = 0.3});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(found[0].score, 0.4, 1e-6);
}

TEST(PostprocessTest, InvertedAndNonNumericBoxesAreDropped) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.9F, -8).Add(0, 4, 4, 0, 0.9F, std::nanf(""));
  output.Add(0, 5, 5, 0, 0.9F, std::numeric_limits<float>::infinity());

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 1U);  // infinite ones reach the border
  EXPECT_EQ(found[0].box, (vision::Box{0, 0, 64, 64}));
}

}  // namespace
}  // namespace detector
