#include "segmenter_service/inference/mask_renderer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace segmenter {
namespace {

// Bilinear, align_corners=False, in double: what upstream calls twice.
std::vector<double> Interpolate(const std::vector<double>& in, int in_width, int in_height,
                                int out_width, int out_height) {
  std::vector<double> out;
  for (int y = 0; y < out_height; ++y) {
    for (int x = 0; x < out_width; ++x) {
      const double sx = std::max(0.0, (x + 0.5) * in_width / out_width - 0.5);
      const double sy = std::max(0.0, (y + 0.5) * in_height / out_height - 0.5);
      const int x0 = static_cast<int>(sx), y0 = static_cast<int>(sy);
      const int x1 = std::min(x0 + 1, in_width - 1), y1 = std::min(y0 + 1, in_height - 1);
      const auto at = [&](int px, int py) { return in[py * in_width + px]; };
      const double fx = sx - x0, fy = sy - y0;
      out.push_back((1 - fy) * ((1 - fx) * at(x0, y0) + fx * at(x1, y0)) +
                    fy * ((1 - fx) * at(x0, y1) + fx * at(x1, y1)));
    }
  }
  return out;
}

std::vector<float> Noise(int size) {
  std::vector<float> values;
  std::uint32_t state = 7;
  for (int i = 0; i < size * size; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back(static_cast<float>(state >> 8) / (1 << 23) * 4 - 4);  // [-4, 4)
  }
  return values;
}

struct Case {
  vision::Size original, resized;
  int low = 16;
};

class MaskRendererTest : public testing::TestWithParam<Case> {};

TEST_P(MaskRendererTest, EqualsTwoResizesWithACropBetween) {
  constexpr int kSide = 64;
  const auto [original, resized, low] = GetParam();
  const std::vector<float> logits = Noise(low);
  const std::vector<double> square =
      Interpolate({logits.begin(), logits.end()}, low, low, kSide, kSide);
  std::vector<double> cropped;
  for (int y = 0; y < resized.height; ++y) {
    cropped.insert(cropped.end(), square.begin() + y * kSide,
                   square.begin() + y * kSide + resized.width);
  }
  const std::vector<double> full =
      Interpolate(cropped, resized.width, resized.height, original.width, original.height);

  const RenderedMask rendered = MaskRenderer({original, resized, kSide}, low).Render(logits);

  // float32 against double: logits of 4 with some 1e-6 of error; no value here is that near to 0.
  std::vector<int> inside(full.size(), 0);
  for (const vision::Span& span : rendered.mask.spans) {
    for (int x = span.x_begin; x < span.x_end; ++x) inside[span.y * original.width + x] = 1;
  }
  double above = 0, below = 0;
  for (std::size_t i = 0; i < full.size(); ++i) {
    if (std::abs(full[i]) > 1e-5) {
      EXPECT_EQ(inside[i], full[i] > 0) << i;
    }
    above += full[i] > 1;
    below += full[i] > -1;
  }
  EXPECT_NEAR(rendered.stability_score, above / below, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(UpDownAndSameSize, MaskRendererTest,
                         testing::Values(Case{{100, 75}, {64, 48}}, Case{{30, 40}, {48, 64}},
                                         Case{{64, 20}, {64, 20}}, Case{{640, 10}, {64, 1}},
                                         Case{{7, 3}, {64, 27}}));

// Patches of 8 and of 4 pixels.
INSTANTIATE_TEST_SUITE_P(FinerMasks, MaskRendererTest,
                         testing::Values(Case{{100, 75}, {64, 48}, 32},
                                         Case{{30, 40}, {48, 64}, 32},
                                         Case{{640, 10}, {64, 1}, 64}));

TEST(MaskRendererTest, AThresholdOfItsOwnMovesMaskAndStability) {
  const MaskRenderer renderer({{8, 8}, {64, 64}, 64}, 16);
  const std::vector<float> twos(16 * 16, 2.0f);

  EXPECT_EQ(vision::Area(renderer.Render(twos).mask), 64);
  EXPECT_EQ(renderer.Render(twos).stability_score, 1.0);
  EXPECT_EQ(vision::Area(renderer.Render(twos, /*threshold=*/2.0f).mask), 0);
  EXPECT_EQ(renderer.Render(twos, /*threshold=*/1.5f, /*offset=*/1.0f).stability_score, 0.0);
}

TEST(MaskRendererTest, NothingAboveAnythingIsUnstable) {
  const std::vector<float> low(16 * 16, -9.0f);

  const RenderedMask rendered = MaskRenderer({{8, 8}, {64, 64}, 64}, 16).Render(low);

  EXPECT_TRUE(rendered.mask.spans.empty());
  EXPECT_EQ(rendered.stability_score, 0.0);
}

}  // namespace
}  // namespace segmenter
