#include "vision/mask_renderer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace vision {
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

// `kept` of the `input` pixels are scaled to `scaled`, of which the image has some.
struct Case {
  Size kept, scaled, image;
  int low = 16;
};

class MaskRendererTest : public testing::TestWithParam<Case> {};

constexpr int kInput = 64;

MaskRenderer Renderer(const Case& c) {
  return {{c.low, kInput, c.kept.width, c.scaled.width, c.image.width},
          {c.low, kInput, c.kept.height, c.scaled.height, c.image.height}};
}

MaskRenderer Small() { return Renderer({{64, 64}, {8, 8}, {8, 8}}); }

TEST_P(MaskRendererTest, EqualsTwoResizesWithACropAfterEach) {
  const auto [kept, scaled, image, low] = GetParam();
  const std::vector<float> logits = Noise(low);
  const std::vector<double> square =
      Interpolate({logits.begin(), logits.end()}, low, low, kInput, kInput);
  std::vector<double> cropped;
  for (int y = 0; y < kept.height; ++y) {
    cropped.insert(cropped.end(), square.begin() + y * kInput,
                   square.begin() + y * kInput + kept.width);
  }
  const std::vector<double> full =
      Interpolate(cropped, kept.width, kept.height, scaled.width, scaled.height);

  const RenderedMask rendered = Renderer(GetParam()).Render(logits);

  EXPECT_EQ(rendered.mask.size, image);
  std::vector<int> inside(image.width * image.height, 0);
  for (const Span& span : rendered.mask.spans) {
    for (int x = span.x_begin; x < span.x_end; ++x) inside[span.y * image.width + x] = 1;
  }
  double above = 0, below = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const bool beyond = x >= scaled.width || y >= scaled.height;
      const double logit = beyond ? -9 : full[y * scaled.width + x];
      // float32 against double: logits of 4 with some 1e-6 of error; no value here is that near
      // to 0.
      if (std::abs(logit) > 1e-5) {
        EXPECT_EQ(inside[y * image.width + x], logit > 0) << x << "," << y;
      }
      above += logit > 1;
      below += logit > -1;
    }
  }
  EXPECT_NEAR(rendered.stability_score, above / below, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(
    UpDownAndSameSize, MaskRendererTest,
    testing::Values(Case{{64, 48}, {100, 75}, {100, 75}}, Case{{48, 64}, {30, 40}, {30, 40}},
                    Case{{64, 20}, {64, 20}, {64, 20}}, Case{{64, 1}, {640, 10}, {640, 10}},
                    Case{{64, 27}, {7, 3}, {7, 3}},
                    // As mmdet: nothing is cropped before, the padding after; and by its rounding
                    // an image may be wider than what was scaled.
                    Case{{64, 64}, {100, 99}, {100, 75}}, Case{{64, 64}, {99, 100}, {100, 31}}));

INSTANTIATE_TEST_SUITE_P(FinerMasks, MaskRendererTest,
                         testing::Values(Case{{64, 48}, {100, 75}, {100, 75}, 32},
                                         Case{{48, 64}, {30, 40}, {30, 40}, 32},
                                         Case{{64, 1}, {640, 10}, {640, 10}, 64}));

TEST(MaskRendererTest, AThresholdOfItsOwnMovesMaskAndStability) {
  const MaskRenderer renderer = Small();
  const std::vector<float> twos(16 * 16, 2.0f);

  EXPECT_EQ(Area(renderer.Render(twos).mask), 64);
  EXPECT_EQ(renderer.Render(twos).stability_score, 1.0);
  EXPECT_EQ(Area(renderer.Render(twos, /*threshold=*/2.0f).mask), 0);
  EXPECT_EQ(renderer.Render(twos, /*threshold=*/1.5f, /*offset=*/1.0f).stability_score, 0.0);
}

TEST(MaskRendererTest, RowsJustBelowTheThresholdCountForStability) {
  std::vector<float> logits(16 * 16, 2.0f);
  std::fill(logits.begin() + 16 * 8, logits.end(), -0.5f);  // between the two thresholds
  const RenderedMask rendered = Small().Render(logits);
  EXPECT_EQ(Area(rendered.mask), 32);
  EXPECT_EQ(rendered.stability_score, 0.5);
}

TEST(MaskRendererTest, NothingAboveAnythingIsUnstable) {
  const RenderedMask rendered = Small().Render(std::vector<float>(16 * 16, -9.0f));

  EXPECT_TRUE(rendered.mask.spans.empty());
  EXPECT_EQ(rendered.stability_score, 0.0);
}

}  // namespace
}  // namespace vision
