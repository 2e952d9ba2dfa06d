#include "detector_service/inference/postprocess.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>

#include "detector_service/rtmdet/rtmdet_config.h"

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
  // From now on it is a rotated detector's; turns what is at a cell.
  EmptyOutput& Turn(int level, int x, int y, float angle) {
    for (int i = 0; i < kLevels; ++i) {
      angles_[i].resize(output_.levels[i].grid.width * output_.levels[i].grid.height);
      output_.levels[i].angles = {angles_[i].data(), 1};
    }
    angles_[level][y * output_.levels[level].grid.width + x] = angle;
    return *this;
  }
  // From now on it has masks; what is at a cell paints with this kernel.
  EmptyOutput& Paint(int level, int x, int y, const std::array<float, kMaskKernelSize>& kernel) {
    features_.resize(64 * kMaskFeatures);
    output_.mask_features = {features_.data(), kMaskFeatures};
    for (int i = 0; i < kLevels; ++i) {
      const vision::Size grid = output_.levels[i].grid;
      kernels_[i].resize(grid.width * grid.height * kMaskKernelSize);
      output_.levels[i].kernels = {kernels_[i].data(), kMaskKernelSize};
    }
    const int cell = y * output_.levels[level].grid.width + x;
    std::copy(kernel.begin(), kernel.end(), &kernels_[level][cell * kMaskKernelSize]);
    return *this;
  }
  std::vector<float>& features() { return features_; }

  std::vector<Detection> Detect(const PostprocessOptions& options,
                                Placement placement = {.image = {64, 64}}) const {
    placement.padded = {64, 64};
    return Postprocess(output_, placement, options);
  }

 private:
  RawOutput output_;
  std::vector<float> logits_[kLevels];
  std::vector<float> distances_[kLevels];
  std::vector<float> objectness_[kLevels];
  std::vector<float> angles_[kLevels];
  std::vector<float> kernels_[kLevels];
  std::vector<float> features_;
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

TEST(PostprocessTest, ClassAgnosticBoxesOfDifferentClassesCompete) {
  EmptyOutput output(2);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 4, 3, 1, 0.6F, 8);

  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.3, .class_agnostic = true}).size(), 1U);
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.4, .class_agnostic = true}).size(), 2U);
}

// mmcv takes each class by itself from so many boxes on, class-agnostic or not.
TEST(PostprocessTest, FromTheSplitThresholdOnClassesAreTakenByThemselves) {
  EmptyOutput output(2);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 4, 3, 1, 0.6F, 8);
  PostprocessOptions options = {.nms_iou_threshold = 0.3, .class_agnostic = true};

  options.nms_split_threshold = 3;
  EXPECT_EQ(output.Detect(options).size(), 1U);
  options.nms_split_threshold = 2;
  EXPECT_EQ(output.Detect(options).size(), 2U);
}

TEST(PostprocessTest, RotatedBoxesCompeteClassAgnosticallyToo) {
  EmptyOutput output(2);
  output.Add(0, 3, 3, 0, 0.8F, 8).Add(0, 3, 4, 1, 0.6F, 8).Turn(0, 3, 3, 0.1F);

  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.3}).size(), 2U);
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.3, .class_agnostic = true}).size(), 1U);
}

// A Python slice up to -1 leaves the last one out. That is what mmdet does without an nms_pre.
TEST(PostprocessTest, ANegativeNmsPreLeavesTheLastOnesOfALevelOut) {
  EmptyOutput output(1);
  output.Add(0, 1, 1, 0, 0.9F, 2).Add(0, 5, 5, 0, 0.8F, 2).Add(1, 1, 1, 0, 0.7F, 2);

  const auto found = output.Detect({.nms_pre = -1});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(found[0].score, 0.9, 1e-6);
  EXPECT_EQ(output.Detect({.nms_pre = -3}).size(), 0U);
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
  EXPECT_EQ(found[1].box, (vision::Box{0, 10, 0, 14}));  // beside the image
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

TEST(PostprocessTest, ClassesArePutApartByTheLargestCoordinateAndOneAsInMmcv) {
  EmptyOutput output(2);
  output.Add(0, 0, 0, 0, 0.9F, 0).Add(1, 0, 0, 1, 0.8F, 0);
  const auto set = [&](int level, std::array<float, 4> distances) {
    std::copy(distances.begin(), distances.end(), output.distances(level, 0));
  };
  set(0, {0, 0, 10, 10});
  set(1, {12, 12, -2, -2});  // (-12, -12, -2, -2), and 11 further (-1, -1, 9, 9): 81 of 119 shared

  EXPECT_EQ(output
                .Detect({.rule = PostprocessRule::kMmyolo,
                         .min_bbox_size = -1,
                         .nms_iou_threshold = 0.65,
                         .clip_to_image = false})
                .size(),
            1U);
}

TEST(PostprocessTest, InvertedAndNonNumericBoxesAreDropped) {
  EmptyOutput output(1);
  output.Add(0, 3, 3, 0, 0.9F, -8).Add(0, 4, 4, 0, 0.9F, std::nanf(""));
  output.Add(0, 5, 5, 0, 0.9F, std::numeric_limits<float>::infinity());

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 1U);  // infinite ones reach the border
  EXPECT_EQ(found[0].box, (vision::Box{0, 0, 64, 64}));
}

TEST(PostprocessTest, ARotatedBoxTurnsAboutItsCellsPoint) {
  EmptyOutput output(1);
  // At (24, 16): 20 to the right, 4 to all other sides; a quarter turn clockwise points it down.
  output.Add(0, 3, 2, 0, 0.9F, 4).Turn(0, 3, 2, std::numbers::pi_v<float> / 2);
  output.distances(0, 2 * 8 + 3)[2] = 20;

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].rotated_box.has_value());
  const vision::RotatedBox& box = *found[0].rotated_box;
  EXPECT_NEAR(box.center.x, 24, 1e-4);
  EXPECT_NEAR(box.center.y, 24, 1e-4);
  EXPECT_NEAR(box.width, 24, 1e-4);
  EXPECT_NEAR(box.height, 8, 1e-4);
  EXPECT_NEAR(std::abs(box.angle), std::numbers::pi / 2, 1e-4);  // either way the same rectangle
  EXPECT_NEAR(found[0].box.x_min, 20, 1e-4);
  EXPECT_NEAR(found[0].box.y_max, 36, 1e-4);
}

TEST(PostprocessTest, ARotatedBoxIsInPixelsOfThePictureAndNotClipped) {
  EmptyOutput output(1);
  output.Add(0, 7, 2, 0, 0.9F, 10).Turn(0, 7, 2, 0);  // from 46 to 66: past the input of 64

  const auto found = output.Detect({}, {.image = {32, 16}, .scale_x = 2, .scale_y = 4});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(*found[0].rotated_box, (vision::RotatedBox{{28, 4}, 10, 5, 0}));
  EXPECT_EQ(found[0].box, (vision::Box{23, 1.5F, 32, 6.5F}));
}

TEST(PostprocessTest, RotatedBoxesCompeteByTheirOwnOverlap) {
  EmptyOutput output(1);
  // Two of 40 x 4 about (32, 32), crossing at right angles; the boxes around them are the same.
  output.Add(0, 4, 4, 0, 0.9F, 2).Turn(0, 4, 4, 0.785F);
  output.Add(1, 2, 2, 0, 0.8F, 2).Turn(1, 2, 2, -0.785F);
  for (float* d : {output.distances(0, 4 * 8 + 4), output.distances(1, 2 * 4 + 2)}) {
    d[0] = d[2] = 20;
  }

  // They share 4 x 4: 16 of 2 * 160 - 16, which is 0.053.
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.1}).size(), 2U);
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.04}).size(), 1U);
}

TEST(PostprocessTest, ARotatedOverlapOfExactlyTheThresholdIsTooMuchAsInMmcv) {
  EmptyOutput output(1);
  // 10 x 10 in the middle of 20 x 10: half of both together.
  output.Add(0, 4, 4, 0, 0.9F, 5).Turn(0, 4, 4, 0);
  output.Add(1, 2, 2, 0, 0.8F, 5).Turn(1, 2, 2, 0);
  float* const wide = output.distances(0, 4 * 8 + 4);
  wide[0] = wide[2] = 10;

  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.5}).size(), 1U);
  EXPECT_EQ(output.Detect({.nms_iou_threshold = 0.51}).size(), 2U);
}

// Where the weights of a kernel begin: the layers' weights, then their biases.
constexpr int kSecondLayer = 80, kThirdLayer = 144, kLastBias = 168;

TEST(PostprocessTest, MasksArePaintedByTheCellsOwnNetwork) {
  std::array<float, kMaskKernelSize> right_of_the_cell{};
  right_of_the_cell[0] = -1;  // first layer: minus the relative x, which is cell minus point,
  right_of_the_cell[10] = 1;  // and plus it
  right_of_the_cell[kSecondLayer] = 1;  // both pass
  right_of_the_cell[kSecondLayer + 9] = 1;
  right_of_the_cell[kThirdLayer] = 64;
  right_of_the_cell[kThirdLayer + 1] = -64;
  EmptyOutput output(1);
  output.Add(1, 1, 1, 0, 0.9F, 16).Paint(1, 1, 1, right_of_the_cell);  // its point: (16, 16)

  const auto found = output.Detect({});

  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].mask.has_value());
  EXPECT_EQ(found[0].mask->size, (vision::Size{64, 64}));
  // The logit is 0 at x = 16 of the features' cells, whose centre is between pixels 19 and 20:
  // upstream measures from the cells' corners but scales from their centres.
  EXPECT_EQ(vision::TightBox(*found[0].mask), (vision::Box{20, 0, 64, 64}));
  EXPECT_EQ(vision::Area(*found[0].mask), 44 * 64);
  EXPECT_FALSE(output.Detect({.draw_masks = false})[0].mask.has_value());
}

TEST(PostprocessTest, MasksReadTheFeaturesAndTheThreshold) {
  std::array<float, kMaskKernelSize> kernel{};
  kernel[2 + 5] = 1;  // the sixth feature
  kernel[kSecondLayer] = 1;
  kernel[kThirdLayer] = 1;
  kernel[kLastBias] = -1;
  EmptyOutput output(1);
  output.Add(0, 4, 4, 0, 0.9F, 16).Paint(0, 4, 4, kernel);
  for (int cell = 0; cell < 64; ++cell) output.features()[cell * kMaskFeatures + 5] = 2;

  // Everywhere a logit of 1, which is a probability of 0.731.
  EXPECT_EQ(vision::Area(*output.Detect({})[0].mask), 64 * 64);
  EXPECT_EQ(vision::Area(*output.Detect({.mask_threshold = 0.73})[0].mask), 64 * 64);
  EXPECT_EQ(vision::Area(*output.Detect({.mask_threshold = 0.74})[0].mask), 0);
}

TEST(PostprocessTest, MasksAreScaledWithTheFactorsOfTheOtherSideAsInMmdet) {
  std::array<float, kMaskKernelSize> kernel{};
  kernel[2 + 5] = 1;  // the sixth feature
  kernel[kSecondLayer] = 1;
  kernel[kThirdLayer] = 1;
  kernel[kLastBias] = -1;
  EmptyOutput output(1);
  output.Add(0, 4, 4, 0, 0.9F, 16).Paint(0, 4, 4, kernel);
  for (int cell = 0; cell < 64; ++cell) {  // in the left half
    output.features()[cell * kMaskFeatures + 5] = cell % 8 < 4 ? 2 : 0;
  }

  // RTMDetInsHead divides the width by scale_factor[1]: 64 columns become 32, of which half is
  // inside.
  const auto found = output.Detect({}, {.image = {64, 32}, .scale_x = 1, .scale_y = 2});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(vision::TightBox(*found[0].mask), (vision::Box{0, 0, 16, 32}));
}

}  // namespace
}  // namespace detector
