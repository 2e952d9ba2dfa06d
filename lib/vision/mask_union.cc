#include "vision/mask_union.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace vision {

Mask Union(absl::Span<const Mask> masks) {
  if (masks.size() == 1) return masks.front();
  std::vector<Span> all;
  for (const Mask& mask : masks) all.insert(all.end(), mask.spans.begin(), mask.spans.end());
  std::sort(all.begin(), all.end(), [](const Span& a, const Span& b) {
    return std::tie(a.y, a.x_begin) < std::tie(b.y, b.x_begin);
  });
  Mask result{.size = masks.front().size, .spans = {}};
  for (const Span& span : all) {
    if (!result.spans.empty() && result.spans.back().y == span.y &&
        span.x_begin <= result.spans.back().x_end) {
      result.spans.back().x_end = std::max(result.spans.back().x_end, span.x_end);
    } else {
      result.spans.push_back(span);
    }
  }
  return result;
}

}  // namespace vision
