#include "trainer/segmenter/segmenter_tuner.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nn/state_dict.h"
#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/modeling/sam2.h"
#include "tests/testing/status_matchers.h"
#include "trainer/optimization/module_state.h"
#include "vision/mask.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

constexpr std::int64_t kDim = 32, kSide = 64, kGrid = 8;

// Untrained, always the same.
std::shared_ptr<PromptedDecoder> SmallDecoder() {
  at::set_num_threads(1);  // barriers cost more than these few numbers
  at::manual_seed(7);
  segmenter::MaskDecoderConfig decoder;
  decoder.mlp_dim = 32;
  decoder.iou_head_hidden = 32;
  return std::make_shared<PromptedDecoder>(
      segmenter::PromptEncoder(segmenter::PromptEncoderConfig{}, kDim, kSide, kGrid),
      segmenter::MakeMaskDecoder(decoder, kDim), /*pads_boxes=*/false,
      std::numeric_limits<float>::infinity());
}

// The embedding shows where the object is.
TuningImage Image(cv::Rect object, float value = 1) {
  TuningImage image;
  image.embedding.geometry = segmenter::FitInput({64, 64}, kSide);
  cv::Mat mask = cv::Mat::zeros(64, 64, CV_8UC1);
  mask(object).setTo(255);
  at::Tensor map = at::zeros({kDim, kGrid, kGrid});
  for (int y = 0; y < kGrid; ++y) {
    for (int x = 0; x < kGrid; ++x) {
      map.select(2, x).select(1, y).fill_(mask.at<uchar>(8 * y + 4, 8 * x + 4) != 0 ? value : -1);
    }
  }
  const segmenter::FeatureShape shape{kDim, kGrid, kGrid};
  const auto* const bytes = static_cast<const std::byte*>(map.data_ptr());
  image.embedding.features.maps.push_back({shape, {bytes, bytes + shape.bytes()}});
  image.masks.push_back(vision::MaskFromPixels(mask));
  return image;
}

std::vector<TuningImage> Batch() {
  std::vector<TuningImage> batch;
  batch.push_back(Image({8, 8, 24, 32}));
  batch.push_back(Image({24, 16, 32, 24}));
  return batch;
}

const TuningOptions kOptions{
    .learning_rate = 2e-3, .steps = 40, .warmup_steps = 5, .corrections = 1};

std::vector<at::Tensor> Weights(const PromptedDecoder& decoder) {
  std::vector<at::Tensor> weights;
  for (const StateTensor& entry : StateOf(decoder)) weights.push_back(entry.tensor.clone());
  return weights;
}

TEST(SegmenterTunerTest, Learns) {
  SegmenterTuner tuner(SmallDecoder(), kOptions);
  const std::vector<TuningImage> batch = Batch();
  std::vector<double> losses;
  while (tuner.step() < kOptions.steps) {
    ASSERT_OK_AND_ASSIGN(const TuningReport report, tuner.Step(batch));
    losses.push_back(report.total());
  }
  double first = 0, last = 0;
  for (int i = 0; i < 5; ++i) {
    first += losses[i];
    last += losses[losses.size() - 1 - i];
  }
  EXPECT_LT(last, 0.7 * first);
}

TEST(SegmenterTunerTest, GoesOnFromASavedStateWithTheSameBits) {
  const std::vector<TuningImage> batch = Batch();
  const auto whole = SmallDecoder(), half = SmallDecoder(), rest = SmallDecoder();
  SegmenterTuner uninterrupted(whole, kOptions), before(half, kOptions);
  for (int i = 0; i < 6; ++i) ASSERT_THAT(uninterrupted.Step(batch), IsOk());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(before.Step(batch), IsOk());
  const checkpoint::StateDict state = before.ToStateDict();
  {
    const at::NoGradGuard no_grad;  // as a process has it that starts anew
    for (StateTensor& entry : StateOf(*rest)) {
      if (entry.tensor.requires_grad()) entry.tensor.fill_(0.5);
    }
  }
  SegmenterTuner after(rest, kOptions);

  ASSERT_THAT(after.LoadStateDict(state), IsOk());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(after.Step(batch), IsOk());

  const auto averages = [](SegmenterTuner& tuner, const PromptedDecoder& decoder) {
    std::vector<at::Tensor> weights;
    EXPECT_THAT(tuner.WithAverage([&] {
      weights = Weights(decoder);
      return absl::OkStatus();
    }),
                IsOk());
    return weights;
  };
  const auto expect_equal = [](const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
  };
  expect_equal(Weights(*whole), Weights(*rest));
  expect_equal(averages(uninterrupted, *whole), averages(after, *rest));
  expect_equal(Weights(*whole), Weights(*rest));  // as they were
}

TEST(SegmenterTunerTest, RefusesAStateOfAnotherDecoder) {
  SegmenterTuner tuner(SmallDecoder(), kOptions);
  checkpoint::StateDict state = tuner.ToStateDict();
  std::erase_if(state, [](const auto& entry) {
    return entry.first == "average.mask_decoder.iou_token.weight";
  });
  EXPECT_THAT(tuner.LoadStateDict(state),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("average.mask_decoder.iou_token.weight")));
}

TEST(SegmenterTunerTest, LeavesTheWeightsAloneWhereTheArithmeticFails) {
  const auto decoder = SmallDecoder();
  SegmenterTuner tuner(decoder, kOptions);
  const std::vector<at::Tensor> before = Weights(*decoder);
  std::vector<TuningImage> batch;
  batch.push_back(Image({8, 8, 24, 32}, std::numeric_limits<float>::quiet_NaN()));

  EXPECT_THAT(tuner.Step(batch), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("step 1")));

  const std::vector<at::Tensor> after = Weights(*decoder);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i], after[i]));
  EXPECT_THAT(tuner.Step(Batch()), IsOk());
}

// The maps that SAM 2's convolutions make are part of the kept embedding: what changed them would
// make it wrong.
TEST(PromptedDecoderTest, WhatMakesMapsOfTheImageDoesNotLearn) {
  segmenter::MaskDecoderConfig decoder;
  decoder.kind = segmenter::MaskDecoderConfig::Kind::kSam2;
  decoder.mlp_dim = 32;
  const PromptedDecoder prompted(
      segmenter::PromptEncoder(segmenter::PromptEncoderConfig{}, kDim, kSide, kGrid),
      segmenter::MakeMaskDecoder(decoder, kDim), /*pads_boxes=*/true, 32);
  int frozen = 0;
  for (const auto& item : prompted.named_parameters()) {
    const bool makes_maps = item.key().find("conv_s") != std::string::npos;
    EXPECT_EQ(item.value().requires_grad(), !makes_maps) << item.key();
    frozen += makes_maps;
  }
  EXPECT_EQ(frozen, 4);
}

}  // namespace
}  // namespace trainer
