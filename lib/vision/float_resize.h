// Resizes as Torch's interpolate(bilinear, antialias=True) does on float tensors.
//
// SAM 2 divides pixels by 255 and then resizes, so nothing is rounded to 8 bits in between, unlike
// Pillow's way (pil_resize.h). The filter is the same: a triangle that widens as the image
// shrinks, each axis by its own scale.
#ifndef DUET_VISION_FLOAT_RESIZE_H_
#define DUET_VISION_FLOAT_RESIZE_H_

#include <opencv2/core/mat.hpp>

#include "vision/geometry.h"

namespace vision {

// CV_8UC3 in 0..255 to CV_32FC3 in 0..1; channels are treated alike. Equals Torch's up to a few
// roundings of float32. REQUIRES: `image` is not empty, `size` is at least 1 x 1. One thread.
cv::Mat ResizeAntialiased(const cv::Mat& image, Size size);

}  // namespace vision

#endif  // DUET_VISION_FLOAT_RESIZE_H_
