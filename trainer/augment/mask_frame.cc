#include "trainer/augment/mask_frame.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace trainer {
namespace {

// The first pixel whose centre is at `x` or right of it.
int FirstPixel(double x) { return static_cast<int>(std::ceil(x - 0.5)); }

}  // namespace

FrameMap Scaled(FrameMap map, double scale_x, double scale_y) {
  return {map.scale_x * scale_x, map.scale_y * scale_y, map.offset_x * scale_x,
          map.offset_y * scale_y};
}

FrameMap Moved(FrameMap map, double offset_x, double offset_y) {
  map.offset_x += offset_x;
  map.offset_y += offset_y;
  return map;
}

vision::Mask Resample(const vision::Mask& mask, const FrameMap& map, vision::Size size) {
  vision::Mask result{.size = size, .spans = {}};
  const auto in_row = [](const vision::Span& span, int y) { return span.y < y; };
  for (int y = 0; y < size.height; ++y) {
    const auto row = static_cast<int>(std::floor((y + 0.5 - map.offset_y) / map.scale_y));
    auto span = std::lower_bound(mask.spans.begin(), mask.spans.end(), row, in_row);
    for (; span != mask.spans.end() && span->y == row; ++span) {
      const int begin = std::max(FirstPixel(span->x_begin * map.scale_x + map.offset_x), 0);
      const int end = std::min(FirstPixel(span->x_end * map.scale_x + map.offset_x), size.width);
      if (begin >= end) continue;
      const bool joins =
          !result.spans.empty() && result.spans.back().y == y && result.spans.back().x_end == begin;
      if (joins) {
        result.spans.back().x_end = end;
      } else {
        result.spans.push_back({y, begin, end});
      }
    }
  }
  return result;
}

vision::Box BoundsInFrame(const vision::Mask& mask, const FrameMap& map, vision::Size size) {
  double x_min = size.width;
  double y_min = size.height;
  double x_max = 0;
  double y_max = 0;
  for (const vision::Span& span : mask.spans) {
    const double left = std::max(span.x_begin * map.scale_x + map.offset_x, 0.0);
    const double right =
        std::min(span.x_end * map.scale_x + map.offset_x, static_cast<double>(size.width));
    const double top = std::max(span.y * map.scale_y + map.offset_y, 0.0);
    const double bottom =
        std::min((span.y + 1) * map.scale_y + map.offset_y, static_cast<double>(size.height));
    if (left >= right || top >= bottom) continue;
    x_min = std::min(x_min, left);
    y_min = std::min(y_min, top);
    x_max = std::max(x_max, right);
    y_max = std::max(y_max, bottom);
  }
  if (x_min >= x_max) return {};
  return {static_cast<float>(x_min), static_cast<float>(y_min), static_cast<float>(x_max),
          static_cast<float>(y_max)};
}

vision::Mask Flipped(const vision::Mask& mask) {
  vision::Mask result = mask;
  const int width = mask.size.width;
  for (vision::Span& span : result.spans) {
    span = {span.y, width - span.x_end, width - span.x_begin};
  }
  for (auto row = result.spans.begin(); row != result.spans.end();) {
    const auto end =
        std::find_if(row, result.spans.end(), [row](const auto& span) { return span.y != row->y; });
    std::reverse(row, end);
    row = end;
  }
  return result;
}

}  // namespace trainer
