// Resizes as Pillow's Image.resize(size, BILINEAR) does, to the bit.
//
// Segment Anything was trained on images resized by Pillow, whose "bilinear" is a triangle filter
// that widens as the image shrinks (antialiasing); no OpenCV mode equals it. Two passes,
// horizontal then vertical, each in 22-bit fixed point and each rounded to 8 bits; a pass is
// skipped if its size stays the same (Pillow, src/libImaging/Resample.c).
#ifndef DUET_VISION_PIL_RESIZE_H_
#define DUET_VISION_PIL_RESIZE_H_

#include <opencv2/core/mat.hpp>

#include "vision/geometry.h"

namespace vision {

// REQUIRES: `image` is CV_8UC3 and not empty, `size` is at least 1 x 1. Channels are treated alike,
// so their order stays as it is. Returns `image` itself, not a copy, if nothing changes. One
// thread.
cv::Mat PilResizeBilinear(const cv::Mat& image, Size size);

}  // namespace vision

#endif  // DUET_VISION_PIL_RESIZE_H_
