// The whole path, picture to mask, against segment-anything 1.0 on a reduced network with random
// weights.
//
// Tolerances: the same reference in float32 and in float64 differs by up to 2.2e-5 in
// embeddings, 1.8e-4 in logits (whose deviation is about 6), 2e-7 in IoU scores and 15 mask pixels.
// Five times that, rounded.
#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "tests/parity/segmenter_service/golden_image.h"
#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

constexpr double kEmbeddingTolerance = 1e-4;
constexpr double kLogitTolerance = 1e-3;
constexpr double kIouTolerance = 1e-5;
constexpr double kMaskIou = 0.9999;

SamNetwork& Network() {
  static SamNetwork* const network = [] {
    const std::string path = std::string(DUET_TEST_DATA) + "/segmenter/sam_a.pth";
    absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
    EXPECT_THAT(file, duet_testing::IsOk());
    absl::StatusOr<std::unique_ptr<SamNetwork>> loaded = LoadNetwork(file->state_dict, {});
    EXPECT_THAT(loaded, duet_testing::IsOk());
    return loaded->release();
  }();
  return *network;
}

std::string Sha256(const std::vector<float>& values) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(values.data()), values.size() * sizeof(float),
         digest);
  std::string hex;
  for (const unsigned char byte : digest) absl::StrAppend(&hex, absl::Hex(byte, absl::kZeroPad2));
  return hex;
}

double MaskIou(const vision::Mask& mask, const cv::Mat& golden) {
  std::int64_t both = 0, total = 0, area = 0;
  for (const vision::Span& span : mask.spans) {
    for (int x = span.x_begin; x < span.x_end; ++x) both += golden.at<std::uint8_t>(span.y, x) != 0;
    area += span.x_end - span.x_begin;
  }
  for (int y = 0; y < golden.rows; ++y) {
    for (int x = 0; x < golden.cols; ++x) total += golden.at<std::uint8_t>(y, x) != 0;
  }
  return static_cast<double>(both) / static_cast<double>(area + total - both);
}

class SamParityTest : public testing::TestWithParam<const char*> {};

TEST_P(SamParityTest, PictureToMaskEqualsTheReference) {
  const GoldenImage golden = ReadGoldenImage(GetParam());
  SamNetwork& network = Network();
  const int side = static_cast<int>(network.config().image_encoder.image_size);
  const std::size_t grid = static_cast<std::size_t>(network.config().image_encoder.grid());

  ASSERT_OK_AND_ASSIGN(const InputGeometry geometry,
                       FitInput({golden.bgr.cols, golden.bgr.rows}, side));
  EXPECT_EQ(geometry.resized, golden.resized);
  std::vector<float> input(3 * side * side);
  NormalizeAndPad(ResizeToInput(golden.bgr, geometry), geometry, input.data());
  ASSERT_EQ(Sha256(input), golden.input_sha256);

  int yields = 0;
  ASSERT_OK_AND_ASSIGN(const std::vector<float> embedding, network.EncodeImage(input, [&] {
    ++yields;
    return absl::OkStatus();
  }));
  EXPECT_GE(yields, network.config().image_encoder.depth());
  double worst = 0;
  const std::size_t thin = golden.embedding_stride, cells = grid / thin;
  ASSERT_EQ(golden.embedding.values.size(), embedding.size() / (thin * thin));
  for (std::size_t i = 0; i < golden.embedding.values.size(); ++i) {
    const std::size_t x = i % cells * thin, y = i / cells % cells * thin, c = i / (cells * cells);
    worst = std::max(worst,
                     std::abs(embedding[(c * grid + y) * grid + x] - golden.embedding.values[i]));
  }
  EXPECT_LE(worst, kEmbeddingTolerance);

  const vision::MaskRenderer renderer =
      MakeMaskRenderer(geometry, static_cast<int>(network.config().low_res_size()));
  for (const GoldenPrompts& expected : golden.prompts) {
    SCOPED_TRACE(expected.name);
    std::vector<Prompt> prompts;
    for (const Prompt& prompt : expected.prompts) {
      EXPECT_THAT(CheckPrompt(prompt, geometry.original, 256), duet_testing::IsOk());
      prompts.push_back(ToInput(prompt, geometry));
    }

    ASSERT_OK_AND_ASSIGN(const LowResMasks masks,
                         network.DecodeMasks(embedding, prompts, expected.multimask));

    ASSERT_EQ(masks.iou_scores.size(), expected.iou.values.size());
    for (std::size_t i = 0; i < masks.iou_scores.size(); ++i) {
      EXPECT_NEAR(masks.iou_scores[i], expected.iou.values[i], kIouTolerance);
    }
    // The reference thinned its logits out as [1::4, 1::4].
    const std::size_t step = expected.logits_stride, from = step == 1 ? 0 : 1;
    const std::size_t low = masks.size, kept = low / step;
    ASSERT_EQ(masks.logits.size() / (step * step), expected.logits.values.size());
    double worst_logit = 0;
    for (std::size_t i = 0; i < expected.logits.values.size(); ++i) {
      const std::size_t x = i % kept * step + from, y = i / kept % kept * step + from;
      const std::size_t mask = i / (kept * kept);
      worst_logit = std::max(worst_logit, std::abs(masks.logits[(mask * low + y) * low + x] -
                                                   expected.logits.values[i]));
    }
    EXPECT_LE(worst_logit, kLogitTolerance);
    const vision::RenderedMask rendered = renderer.Render(masks.Logits(0, 0));
    EXPECT_GE(MaskIou(rendered.mask, expected.first_mask), kMaskIou);
  }
}

INSTANTIATE_TEST_SUITE_P(LandscapePortraitAndStrip, SamParityTest,
                         testing::Values("a0", "a1", "a2"));

}  // namespace
}  // namespace segmenter
