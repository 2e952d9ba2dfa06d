#include "vision/mask.h"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <limits>
#include <opencv2/core.hpp>

namespace vision {
namespace {

constexpr int kBlock = 64;  // pixels in a word of bits

// Bit i: whether pixel i of the kBlock pixels from `row` on is foreground.
struct NonZero {
  using Pixel = std::uint8_t;

  bool IsForeground(Pixel pixel) const { return pixel != 0; }

  std::uint64_t Block(const Pixel* row) const {
#if defined(__SSE4_1__)
    const __m128i zero = _mm_setzero_si128();
    std::uint64_t background = 0;
    for (int i = 0; i < kBlock; i += 16) {
      const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
      const auto bits = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(pixels, zero)));
      background |= std::uint64_t{bits} << i;
    }
    return ~background;
#else
    std::uint64_t bits = 0;
    for (int i = 0; i < kBlock; ++i) bits |= std::uint64_t{row[i] != 0} << i;
    return bits;
#endif
  }
};

struct Above {
  using Pixel = float;
  float threshold;

  bool IsForeground(Pixel pixel) const { return pixel > threshold; }

  std::uint64_t Block(const Pixel* row) const {
    std::uint64_t bits = 0;
#if defined(__SSE4_1__)
    const __m128 limit = _mm_set1_ps(threshold);
    for (int i = 0; i < kBlock; i += 16) {
      // Four comparisons at a time: their all-ones or all-zeros lanes are narrowed to bytes.
      const auto compare = [&](int offset) {
        return _mm_castps_si128(_mm_cmpgt_ps(_mm_loadu_ps(row + i + offset), limit));
      };
      const __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(compare(0), compare(4)),
                                            _mm_packs_epi32(compare(8), compare(12)));
      bits |= std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(bytes))} << i;
    }
#else
    for (int i = 0; i < kBlock; ++i) bits |= std::uint64_t{row[i] > threshold} << i;
#endif
    return bits;
  }
};

// Appends the spans of row `y`.
template <typename Predicate>
void ScanRow(const typename Predicate::Pixel* row, int width, int y, const Predicate& predicate,
             std::vector<Span>& spans) {
  bool inside = false;  // whether the last pixel seen was foreground
  const auto take = [&](std::uint64_t bits, int x) {
    std::uint64_t changes = bits ^ (bits << 1 | std::uint64_t{inside});
    for (; changes != 0; changes &= changes - 1) {
      const int at = x + std::countr_zero(changes);
      if (inside) {
        spans.back().x_end = at;
      } else {
        spans.push_back({y, at, width});
      }
      inside = !inside;
    }
  };
  int x = 0;
  for (; x + kBlock <= width; x += kBlock) take(predicate.Block(row + x), x);
  if (x < width) {
    std::uint64_t bits = 0;
    for (int i = 0; x + i < width; ++i)
      bits |= std::uint64_t{predicate.IsForeground(row[x + i])} << i;
    take(bits, x);
  }
  // A span that reaches the border has its end already; one that the zero bits after the border
  // ended, too.
}

template <typename Predicate>
Mask Scan(const cv::Mat& pixels, const Predicate& predicate) {
  Mask mask{.size = {pixels.cols, pixels.rows}, .spans = {}};
  for (int y = 0; y < pixels.rows; ++y) {
    ScanRow(pixels.ptr<typename Predicate::Pixel>(y), pixels.cols, y, predicate, mask.spans);
  }
  return mask;
}

// The columns [x_begin, x_end) in which row y differs from the row above it.
struct Change {
  std::int32_t y;
  std::int32_t x_begin;
  std::int32_t x_end;
};

// Of rows `above` and `below`: a sweep over the boundaries of both, in which equal ones cancel.
void AppendChanges(const Span* above, const Span* above_end, const Span* below,
                   const Span* below_end, std::int32_t y, std::vector<Change>& changes) {
  bool in_above = false;
  bool in_below = false;
  const auto next = [](const Span* span, const Span* end, bool inside) {
    if (span == end) return std::numeric_limits<std::int32_t>::max();
    return inside ? span->x_end : span->x_begin;
  };
  std::int32_t begin = 0;
  while (above != above_end || below != below_end) {
    const std::int32_t a = next(above, above_end, in_above);
    const std::int32_t b = next(below, below_end, in_below);
    const std::int32_t x = std::min(a, b);
    if (in_above != in_below && x > begin) changes.push_back({y, begin, x});
    begin = x;
    if (a == x) {
      above += in_above;
      in_above = !in_above;
    }
    if (b == x) {
      below += in_below;
      in_below = !in_below;
    }
  }
}

}  // namespace

Mask MaskFromPixels(const cv::Mat& pixels) {
  CV_Assert(pixels.type() == CV_8UC1);
  return Scan(pixels, NonZero{});
}

Mask MaskFromValues(const cv::Mat& values, float threshold) {
  CV_Assert(values.type() == CV_32FC1);
  return Scan(values, Above{threshold});
}

cv::Mat ToPixels(const Mask& mask, std::uint8_t foreground) {
  cv::Mat pixels = cv::Mat::zeros(mask.size.height, mask.size.width, CV_8UC1);
  for (const Span& span : mask.spans) {
    std::fill(pixels.ptr(span.y) + span.x_begin, pixels.ptr(span.y) + span.x_end, foreground);
  }
  return pixels;
}

std::int64_t Area(const Mask& mask) {
  std::int64_t area = 0;
  for (const Span& span : mask.spans) area += span.x_end - span.x_begin;
  return area;
}

Box TightBox(const Mask& mask) {
  if (mask.spans.empty()) return {};
  std::int32_t x_min = mask.size.width;
  std::int32_t x_max = 0;
  for (const Span& span : mask.spans) {
    x_min = std::min(x_min, span.x_begin);
    x_max = std::max(x_max, span.x_end);
  }
  return {.x_min = static_cast<float>(x_min),
          .y_min = static_cast<float>(mask.spans.front().y),
          .x_max = static_cast<float>(x_max),
          .y_max = static_cast<float>(mask.spans.back().y + 1)};
}

// The spans of the result are the vertical runs of the mask. Those begin and end where a row
// differs from the one above it, so the work is proportional to the spans that go in and come out,
// not to the pixels.
std::optional<Mask> TransposeWithin(const Mask& mask, std::size_t max_spans) {
  Mask transposed{.size = {mask.size.height, mask.size.width}, .spans = {}};
  if (mask.spans.empty()) return transposed;

  std::vector<Change> changes;
  changes.reserve(2 * mask.spans.size());
  const Span* const end = mask.spans.data() + mask.spans.size();
  const Span* above = mask.spans.data();
  const Span* above_end = above;
  for (std::int32_t y = above->y; above != end || above_end != above;) {
    const Span* below = above_end;
    const Span* below_end = below;
    while (below_end != end && below_end->y == y) ++below_end;
    AppendChanges(above, above_end, below, below_end, y, changes);
    above = below;
    above_end = below_end;
    // Over a gap of empty rows.
    y = above == above_end && above != end ? above->y : y + 1;
  }

  // Every column's number of changes, from the differences between neighbouring columns; then where
  // its changes begin.
  const auto width = static_cast<std::size_t>(mask.size.width);
  std::vector<std::int64_t> cursor(width + 1);
  for (const Change& change : changes) {
    ++cursor[static_cast<std::size_t>(change.x_begin)];
    --cursor[static_cast<std::size_t>(change.x_end)];
  }
  std::int64_t count = 0;
  std::int64_t total = 0;
  for (std::int64_t& entry : cursor) {
    count += entry;
    entry = total;
    total += count;
  }

  // Changes come in pairs: a run begins, a run ends.
  if (static_cast<std::size_t>(total / 2) > max_spans) return std::nullopt;
  transposed.spans.resize(static_cast<std::size_t>(total / 2));
  for (const Change& change : changes) {
    for (std::int32_t x = change.x_begin; x < change.x_end; ++x) {
      const std::int64_t index = cursor[static_cast<std::size_t>(x)]++;
      Span& span = transposed.spans[static_cast<std::size_t>(index / 2)];
      if (index % 2 == 0) {
        span.y = x;
        span.x_begin = change.y;
      } else {
        span.x_end = change.y;
      }
    }
  }
  return transposed;
}

Mask Transpose(const Mask& mask) {
  return *TransposeWithin(mask, std::numeric_limits<std::size_t>::max());
}

}  // namespace vision
