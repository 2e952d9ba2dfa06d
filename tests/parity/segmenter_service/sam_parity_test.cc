// The whole path, image to mask, against segment-anything 1.0, MobileSAM, HQ-SAM 0.3 and sam2
// 1.1.0 on reduced networks with random weights.
#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "hash/sha256.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "tests/parity/segmenter_service/golden_image.h"
#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

// Found: 0.998 at worst. Another CPU may round other values the other way.
constexpr double kBFloat16MaskIou = 0.995;

// SAM 2's resize is in floats, in no prescribed order of additions.
constexpr double kInputTolerance = 5e-6;

std::unique_ptr<SamNetwork> Load(const GoldenImage& golden, const NetworkOptions& options,
                                 bool dynamic_multimask) {
  absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(golden.checkpoint);
  EXPECT_THAT(file, duet_testing::IsOk());
  absl::StatusOr<std::unique_ptr<SamNetwork>> loaded =
      LoadNetwork(file->state_dict, options, ReadSidecar(golden, dynamic_multimask));
  EXPECT_THAT(loaded, duet_testing::IsOk());
  return *std::move(loaded);
}

std::string Sha256(const std::vector<float>& values) {
  return hash::Sha256Hex(
      {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

// The largest difference of the values that were recorded.
double MapError(const FeatureMap& map, const GoldenMap& golden) {
  const std::size_t stride = golden.stride;
  const std::size_t rows = golden.tensor.shape[1], columns = golden.tensor.shape[2];
  EXPECT_EQ(golden.tensor.shape[0], map.shape.channels);
  EXPECT_LT(golden.row + (rows - 1) * stride, map.shape.height);
  EXPECT_LT(golden.column + (columns - 1) * stride, map.shape.width);
  double worst = 0;
  for (std::size_t i = 0; i < golden.tensor.values.size(); ++i) {
    const std::size_t x = i % columns * stride + golden.column;
    const std::size_t y = i / columns % rows * stride + golden.row;
    const std::size_t at = (i / (rows * columns) * map.shape.height + y) * map.shape.width + x;
    worst = std::max(worst, std::abs(map.floats()[at] - golden.tensor.values[i]));
  }
  return worst;
}

class SamParityTest : public testing::TestWithParam<const char*> {};

TEST_P(SamParityTest, ImageToMaskEqualsTheReference) {
  const GoldenImage golden = ReadGoldenImage(GetParam());
  const std::unique_ptr<SamNetwork> network = Load(golden, {}, /*dynamic_multimask=*/true);
  const NetworkSpec& spec = network->spec();
  const std::size_t side = static_cast<std::size_t>(spec.image_size);

  const InputGeometry geometry =
      FitInput({golden.bgr.cols, golden.bgr.rows}, spec.image_size, spec.framing);
  EXPECT_EQ(geometry.resized, golden.resized);
  std::vector<float> input(3 * side * side);
  NormalizeAndPad(ResizeToInput(golden.bgr, geometry), geometry, input.data());
  if (spec.framing == Framing::kLongestSide) {
    ASSERT_EQ(Sha256(input), golden.input_sha256);
  }
  for (const GoldenSample& sample : golden.input_samples) {
    EXPECT_NEAR(input[(sample.channel * side + sample.y) * side + sample.x], sample.value,
                kInputTolerance);
  }

  int yields = 0;
  ASSERT_OK_AND_ASSIGN(const Embedding embedding, network->EncodeImage(input, [&] {
    ++yields;
    return absl::OkStatus();
  }));
  EXPECT_GE(yields, 4) << "between the blocks";
  ASSERT_FALSE(golden.maps.empty());
  for (const GoldenMap& map : golden.maps) {
    ASSERT_LT(map.index, embedding.maps.size());
    EXPECT_LE(MapError(embedding.maps[map.index], map), kEmbeddingTolerance) << "map " << map.index;
  }

  std::unique_ptr<SamNetwork> other;  // with the options that some prompts were asked with
  const vision::MaskRenderer renderer = MakeMaskRenderer(geometry, spec.low_res_size);
  for (const GoldenPrompts& expected : golden.prompts) {
    SCOPED_TRACE(expected.name);
    const bool as_it_is = !expected.hq_token_only && !expected.no_dynamic;
    if (!as_it_is && other == nullptr) {
      other = Load(golden, {.hq_token_only = expected.hq_token_only}, !expected.no_dynamic);
    }
    std::vector<Prompt> prompts;
    for (const Prompt& prompt : expected.prompts) prompts.push_back(ToInput(prompt, geometry));

    ASSERT_OK_AND_ASSIGN(
        const LowResMasks masks,
        (as_it_is ? network : other)->DecodeMasks(embedding, prompts, expected.multimask));

    ASSERT_EQ(masks.iou_scores.size(), expected.iou.values.size());
    for (std::size_t i = 0; i < masks.iou_scores.size(); ++i) {
      EXPECT_NEAR(masks.iou_scores[i], expected.iou.values[i], kIouTolerance);
    }
    std::vector<float> logits;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      for (int mask = 0; mask < masks.masks_per_prompt; ++mask) {
        const std::vector<float> clamped = masks.ClampedLogits(i, mask);
        logits.insert(logits.end(), clamped.begin(), clamped.end());
      }
    }
    EXPECT_LE(LogitError(logits, masks.size, expected), kLogitTolerance);
    const vision::RenderedMask rendered = renderer.Render(masks.Logits(0, 0));
    EXPECT_GE(MaskIou(vision::ToPixels(rendered.mask), expected.first_mask), kMaskIou);
  }
}

// bf16 embeddings move a mask's edge by a pixel here and there.
TEST_P(SamParityTest, MasksOfBFloat16EmbeddingsAreNearlyTheSame) {
  const GoldenImage golden = ReadGoldenImage(GetParam());
  const std::unique_ptr<SamNetwork> full = Load(golden, {}, /*dynamic_multimask=*/true);
  const std::unique_ptr<SamNetwork> half =
      Load(golden, {.embedding_precision = "bf16"}, /*dynamic_multimask=*/true);
  const NetworkSpec& spec = full->spec();
  const InputGeometry geometry =
      FitInput({golden.bgr.cols, golden.bgr.rows}, spec.image_size, spec.framing);
  std::vector<float> input(std::size_t{3} * spec.image_size * spec.image_size);
  NormalizeAndPad(ResizeToInput(golden.bgr, geometry), geometry, input.data());
  const auto yield = [] { return absl::OkStatus(); };
  ASSERT_OK_AND_ASSIGN(const Embedding floats, full->EncodeImage(input, yield));
  ASSERT_OK_AND_ASSIGN(const Embedding halves, half->EncodeImage(input, yield));
  EXPECT_LT(halves.bytes(), floats.bytes() * 0.51);

  const vision::MaskRenderer renderer = MakeMaskRenderer(geometry, spec.low_res_size);
  double worst = 1;
  for (const GoldenPrompts& asked : golden.prompts) {
    std::vector<Prompt> prompts;
    for (const Prompt& prompt : asked.prompts) prompts.push_back(ToInput(prompt, geometry));
    ASSERT_OK_AND_ASSIGN(const LowResMasks exact,
                         full->DecodeMasks(floats, prompts, asked.multimask));
    ASSERT_OK_AND_ASSIGN(const LowResMasks rounded,
                         half->DecodeMasks(halves, prompts, asked.multimask));
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      for (int mask = 0; mask < exact.masks_per_prompt; ++mask) {
        const vision::Mask one = renderer.Render(exact.Logits(i, mask)).mask;
        const vision::Mask other = renderer.Render(rounded.Logits(i, mask)).mask;
        worst = std::min(worst, MaskIou(vision::ToPixels(one), vision::ToPixels(other)));
      }
    }
  }
  EXPECT_GE(worst, kBFloat16MaskIou);
}

INSTANTIATE_TEST_SUITE_P(Families, SamParityTest, testing::ValuesIn(kGoldenImages), GoldenTestName);

}  // namespace
}  // namespace segmenter
