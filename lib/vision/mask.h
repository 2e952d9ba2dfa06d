// A binary mask as the horizontal spans of its foreground.
//
// A 12-megapixel mask of one object has 12 million pixels and a few thousand spans, so everything
// about a mask is computed from spans: its area, box, run-length codes (mask_rle.h) and outlines
// (mask_shapes.h). Pixels are touched once, when a mask is made from them.
//
// Frame: pixel (x, y) is the square from (x, y) to (x + 1, y + 1); its centre is at (x + 0.5, y +
// 0.5).
#ifndef DUET_VISION_MASK_H_
#define DUET_VISION_MASK_H_

#include <cstddef>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <optional>
#include <vector>

#include "vision/geometry.h"

namespace vision {

// Pixels x_begin ≤ x < x_end of row y.
struct Span {
  std::int32_t y = 0;
  std::int32_t x_begin = 0;
  std::int32_t x_end = 0;
  friend bool operator==(const Span&, const Span&) = default;
};

struct Mask {
  Size size;
  // By y, then x. None is empty, none touches the next one of its row, all lie inside of `size`.
  std::vector<Span> spans;
  friend bool operator==(const Mask&, const Mask&) = default;
};

// Foreground: not 0. REQUIRES: `pixels` is CV_8UC1; its rows may be padded.
Mask MaskFromPixels(const cv::Mat& pixels);

// Foreground: > `threshold` (NaN is background). REQUIRES: `values` is CV_32FC1, for example logits
// or probabilities.
Mask MaskFromValues(const cv::Mat& values, float threshold);

// CV_8UC1: `foreground` and 0.
cv::Mat ToPixels(const Mask& mask, std::uint8_t foreground = 255);

// Foreground pixels.
std::int64_t Area(const Mask& mask);

// The smallest box around the foreground; all zeros if there is none.
Box TightBox(const Mask& mask);

// Swaps x and y.
Mask Transpose(const Mask& mask);

// The same, but none if the result would have more than `max_spans` spans: two spans can become
// millions.
std::optional<Mask> TransposeWithin(const Mask& mask, std::size_t max_spans);

}  // namespace vision

#endif  // DUET_VISION_MASK_H_
