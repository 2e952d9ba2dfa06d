#include "segmenter_service/inference/mask_renderer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

// The row loops once per x86-64 level, chosen when the program loads; on other processors, once.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

namespace segmenter {
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

void AppendSpans(const std::vector<std::uint8_t>& inside, int y, std::vector<vision::Span>* spans) {
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

MaskRenderer::MaskRenderer(const InputGeometry& geometry, int low_res_size)
    : low_res_size_(low_res_size),
      columns_(Blends(geometry.original.width, geometry.resized.width, geometry.image_size,
                      low_res_size)),
      rows_(Blends(geometry.original.height, geometry.resized.height, geometry.image_size,
                   low_res_size)) {}

std::vector<MaskRenderer::Blend> MaskRenderer::Blends(int original, int resized, int image_size,
                                                      int low_res_size) {
  std::vector<Blend> blends;
  blends.reserve(original);
  for (int i = 0; i < original; ++i) {
    const Sample outer = Bilinear(i, resized, original);
    // Neighbours in the input are at most one low-res cell apart, so three cells hold all four
    // samples.
    const int first =
        std::min(Bilinear(outer.low, low_res_size, image_size).low, std::max(0, low_res_size - 3));
    Blend blend{first, {0, 0, 0}};
    const std::array<std::pair<int, float>, 2> parts = {
        {{outer.low, 1.0f - outer.fraction}, {outer.high, outer.fraction}}};
    for (const auto& [position, weight] : parts) {
      const Sample inner = Bilinear(position, low_res_size, image_size);
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

  // Low-res rows at full width. The last ones may lie in the padding, where nothing reads them.
  const int rows_needed = rows_.back().first + 3;
  std::vector<float> wide(static_cast<std::size_t>(rows_needed) * width);
  for (int y = 0; y < rows_needed; ++y) {
    const float* in = logits.data() + static_cast<std::size_t>(y) * low_res_size_;
    float* out = wide.data() + static_cast<std::size_t>(y) * width;
    for (int x = 0; x < width; ++x) {
      const Blend& blend = columns_[x];
      const float* cell = in + blend.first;
      out[x] = blend.weights[0] * cell[0] + blend.weights[1] * cell[1] + blend.weights[2] * cell[2];
    }
  }

  RenderedMask result;
  result.mask.size = {width, height};
  std::vector<std::uint8_t> inside(width);
  std::int64_t above = 0, below = 0;
  for (int y = 0; y < height; ++y) {
    const Blend& blend = rows_[y];
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

}  // namespace segmenter
