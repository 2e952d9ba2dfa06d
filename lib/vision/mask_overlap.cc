#include "vision/mask_overlap.h"

#include <algorithm>
#include <tuple>

namespace vision {
namespace {

bool EndsFirst(const Span& a, const Span& b) {
  return std::tie(a.y, a.x_end) < std::tie(b.y, b.x_end);
}

// The first span that isn't above the other mask.
std::vector<Span>::const_iterator Begin(const Mask& mask, const Mask& other) {
  const std::int32_t top = other.spans.front().y;
  return std::lower_bound(mask.spans.begin(), mask.spans.end(), top,
                          [](const Span& span, std::int32_t y) { return span.y < y; });
}

}  // namespace

std::int64_t IntersectionArea(const Mask& a, const Mask& b) {
  if (a.spans.empty() || b.spans.empty()) return 0;
  std::int64_t area = 0;
  auto in_a = Begin(a, b);
  auto in_b = Begin(b, a);
  while (in_a != a.spans.end() && in_b != b.spans.end()) {
    if (in_a->y == in_b->y) {
      area +=
          std::max(0, std::min(in_a->x_end, in_b->x_end) - std::max(in_a->x_begin, in_b->x_begin));
    }
    ++(EndsFirst(*in_a, *in_b) ? in_a : in_b);
  }
  return area;
}

}  // namespace vision
