// Masks to test with: drawn as text, random, and those that pycocotools encoded.
#ifndef DUET_TESTS_UNIT_VISION_MASK_FIXTURES_H_
#define DUET_TESTS_UNIT_VISION_MASK_FIXTURES_H_

#include <opencv2/core.hpp>
#include <random>
#include <string>
#include <vector>

#include "vision/mask.h"

namespace vision {

// One string a row; '#' is foreground.
inline cv::Mat Draw(const std::vector<std::string>& rows) {
  cv::Mat pixels(static_cast<int>(rows.size()), static_cast<int>(rows[0].size()), CV_8UC1);
  for (int y = 0; y < pixels.rows; ++y) {
    for (int x = 0; x < pixels.cols; ++x) {
      pixels.at<uchar>(y, x) =
          rows[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)] == '#';
    }
  }
  return pixels;
}

inline Mask MaskOf(const std::vector<std::string>& rows) { return MaskFromPixels(Draw(rows)); }

// Every pixel is foreground with probability `density`, which makes all the ways in which pixels
// touch.
inline cv::Mat Noise(int width, int height, double density, unsigned seed) {
  std::mt19937 random(seed);
  std::bernoulli_distribution foreground(density);
  cv::Mat pixels(height, width, CV_8UC1);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) pixels.at<uchar>(y, x) = foreground(random) ? 200 : 0;
  }
  return pixels;
}

}  // namespace vision

#endif  // DUET_TESTS_UNIT_VISION_MASK_FIXTURES_H_
