#include "vision/mask_renderer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

// The row loops once per x86-64 level, chosen when the program loads; on other processors, once.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

namespace vision {
namespace {

// Where bilinear interpolation (align_corners=False) of `in` samples to `out` reads for one output:
// in single precision, as Torch does. (1 - fraction) * in[low] + fraction * in[high].
struct Sample {
  int low, high;
  float fraction;
};

Sample Bilinear(int index, int in, int out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  const float source = std::max(0.0f, scale * (static_cast<float>(index) + 0.5f) - 0.5f);
  const int low = std::min(static_cast<int>(source), in - 1);
  return {low, std::min(low + 1, in - 1), source - static_cast<float>(low)};
}

struct RowCounts {
  std::int32_t above = 0, below = 0;  // pixels over the two thresholds of the stability score
};

// Thresholds one row of full-size logits, which is the blend of three. `inside` becomes 0 or 1.
DUET_CLONES RowCounts ThresholdRow(const float* a, const float* b, const float* c,
                                   const float* weights, int width, float threshold, float offset,
                                   std::uint8_t* inside) {
  RowCounts counts;
  const float high = threshold + offset, low = threshold - offset;
  for (int x = 0; x < width; ++x) {
    const float logit = weights[0] * a[x] + weights[1] * b[x] + weights[2] * c[x];
    inside[x] = logit > threshold;
    counts.above += logit > high;
    counts.below += logit > low;
  }
  return counts;
}

void AppendSpans(const std::vector<std::uint8_t>& inside, int y, std::vector<Span>* spans) {
  const std::uint8_t* const begin = inside.data();
  const std::uint8_t* const end = begin + inside.size();
  const auto find = [end](const std::uint8_t* from, int value) {
    const void* found = std::memchr(from, value, static_cast<std::size_t>(end - from));
    return found == nullptr ? end : static_cast<const std::uint8_t*>(found);
  };
  for (const std::uint8_t* at = find(begin, 1); at != end;) {
    const std::uint8_t* const stop = find(at, 0);
    spans->push_back({y, static_cast<int>(at - begin), static_cast<int>(stop - begin)});
    at = find(stop, 1);
  }
}

}  // namespace

MaskRenderer::MaskRenderer(const MaskAxis& columns, const MaskAxis& rows)
    : image_{columns.image, rows.image},
      low_res_width_(columns.low_res),
      columns_(Blends(columns)),
      rows_(Blends(rows)) {}

std::vector<MaskRenderer::Blend> MaskRenderer::Blends(const MaskAxis& axis) {
  const int rendered = std::min(axis.scaled, axis.image);
  std::vector<Blend> blends;
  blends.reserve(rendered);
  for (int i = 0; i < rendered; ++i) {
    const Sample outer = Bilinear(i, axis.kept, axis.scaled);
    // Neighbours in the input are at most one low-res cell apart, so three cells hold all four
    // samples.
    const int first = std::min(Bilinear(outer.low, axis.low_res, axis.input).low, axis.low_res - 3);
    Blend blend{first, {0, 0, 0}};
    const std::array<std::pair<int, float>, 2> parts = {
        {{outer.low, 1.0f - outer.fraction}, {outer.high, outer.fraction}}};
    for (const auto& [position, weight] : parts) {
      const Sample inner = Bilinear(position, axis.low_res, axis.input);
      blend.weights[inner.low - first] += weight * (1.0f - inner.fraction);
      blend.weights[inner.high - first] += weight * inner.fraction;
    }
    blends.push_back(blend);
  }
  return blends;
}

RenderedMask MaskRenderer::Render(absl::Span<const float> logits, float threshold,
                                  float stability_offset) const {
  const int width = static_cast<int>(columns_.size()), height = static_cast<int>(rows_.size());

  // A blend is no larger than what it is made of: rows that stay below both thresholds are skipped.
  const float least = threshold - std::abs(stability_offset);
  const auto is_background = [&](int first) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(first) * low_res_width_;
    return std::none_of(begin, begin + 3 * low_res_width_,
                        [&](float logit) { return logit > least; });
  };

  // Low-res rows at full width. The last ones may lie in the padding, where nothing reads them.
  const int rows_needed = rows_.back().first + 3;
  std::vector<float> wide(static_cast<std::size_t>(rows_needed) * width);
  for (int y = 0; y < rows_needed; ++y) {
    const float* in = logits.data() + static_cast<std::size_t>(y) * low_res_width_;
    float* out = wide.data() + static_cast<std::size_t>(y) * width;
    for (int x = 0; x < width; ++x) {
      const Blend& blend = columns_[x];
      const float* cell = in + blend.first;
      out[x] = blend.weights[0] * cell[0] + blend.weights[1] * cell[1] + blend.weights[2] * cell[2];
    }
  }

  RenderedMask result;
  result.mask.size = image_;
  std::vector<std::uint8_t> inside(width);
  std::int64_t above = 0, below = 0;
  int checked = -1;  // the low-res row that the last output row began at
  bool background = false;
  for (int y = 0; y < height; ++y) {
    const Blend& blend = rows_[y];
    if (blend.first != checked) {
      checked = blend.first;
      background = is_background(checked);
    }
    if (background) continue;
    const float* row = wide.data() + static_cast<std::size_t>(blend.first) * width;
    const RowCounts counts = ThresholdRow(row, row + width, row + 2 * width, blend.weights, width,
                                          threshold, stability_offset, inside.data());
    above += counts.above;
    below += counts.below;
    AppendSpans(inside, y, &result.mask.spans);
  }
  if (below > 0) result.stability_score = static_cast<double>(above) / static_cast<double>(below);
  return result;
}

}  // namespace vision
