#include "trainer/scenes/background.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

namespace trainer {
namespace {

// Random values on a coarse grid of `cell_px`, smoothly interpolated.
cv::Mat Blobs(Random& random, cv::Size size, double cell_px) {
  const cv::Size grid(std::max(2, static_cast<int>(size.width / cell_px) + 1),
                      std::max(2, static_cast<int>(size.height / cell_px) + 1));
  cv::Mat coarse(grid, CV_32FC1);
  for (int y = 0; y < grid.height; ++y) {
    for (int x = 0; x < grid.width; ++x)
      coarse.at<float>(y, x) = static_cast<float>(random.Uniform(0, 1));
  }
  cv::Mat field;
  cv::resize(coarse, field, size, 0, 0, cv::INTER_LINEAR);
  return field;
}

cv::Mat Texture(Random& random, cv::Size size) {
  const double side = std::max(size.width, size.height);
  const double angle = random.Uniform(0, 2 * std::numbers::pi);
  const double phase = random.Uniform(0, 1);
  switch (random.Integer(0, 5)) {
    case 0:  // gradient: half a wave across the image
      return Wave(size, 2.5 * side, angle, phase, /*hard=*/false);
    case 1:  // swell
      return Wave(size, random.Uniform(0.05, 0.4) * side, angle, phase, /*hard=*/false);
    case 2:  // stripes
      return Wave(size, random.Uniform(0.05, 0.3) * side, angle, phase, /*hard=*/true);
    case 3: {  // checks
      const double wavelength = random.Uniform(0.06, 0.3) * side;
      const cv::Mat across = Wave(size, wavelength, angle, phase, /*hard=*/true);
      return cv::abs(across -
                     Wave(size, wavelength, angle + std::numbers::pi / 2, phase, /*hard=*/true));
    }
    case 4:
      return Blobs(random, size, random.Uniform(0.06, 0.4) * side);
    default:  // grain
      return Blobs(random, size, random.Uniform(0.005, 0.02) * side);
  }
}

cv::Vec3f RandomColour(Random& random) {
  cv::Vec3f colour;
  for (int c = 0; c < 3; ++c) colour[c] = static_cast<float>(random.Uniform(0, 255));
  return colour;
}

}  // namespace

cv::Mat Wave(cv::Size size, double wavelength_px, double angle, double phase, bool hard) {
  const double kx = 2 * std::numbers::pi * std::cos(angle) / wavelength_px;
  const double ky = 2 * std::numbers::pi * std::sin(angle) / wavelength_px;
  cv::Mat field(size, CV_32FC1);
  for (int y = 0; y < size.height; ++y) {
    float* row = field.ptr<float>(y);
    for (int x = 0; x < size.width; ++x) {
      const float s = std::sin(static_cast<float>(kx * x + ky * y + 2 * std::numbers::pi * phase));
      row[x] = hard ? (s > 0 ? 1.0f : 0.0f) : 0.5f + 0.5f * s;
    }
  }
  return field;
}

cv::Mat DrawBackground(Random& random, cv::Size size) {
  const cv::Vec3f from = RandomColour(random);
  // The two colours are neighbours more often than opposites, as in most images.
  const float spread = static_cast<float>(random.Uniform(0.1, 0.6));
  const cv::Vec3f to = from + (RandomColour(random) - from) * spread;
  cv::Mat mix = Texture(random, size);
  if (random.Chance(0.5)) {
    const double weight = random.Uniform(0.2, 0.6);
    cv::addWeighted(mix, 1 - weight, Texture(random, size), weight, 0, mix);
  }
  cv::Mat background(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    const float* t = mix.ptr<float>(y);
    cv::Vec3b* row = background.ptr<cv::Vec3b>(y);
    for (int x = 0; x < size.width; ++x) {
      for (int c = 0; c < 3; ++c)
        row[x][c] = cv::saturate_cast<uchar>(from[c] + (to[c] - from[c]) * t[x]);
    }
  }
  return background;
}

}  // namespace trainer
