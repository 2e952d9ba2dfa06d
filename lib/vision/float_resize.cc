#include "vision/float_resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace vision {
namespace {

// Output i of an axis is a weighted sum of inputs [first, first + weights.size()).
struct Taps {
  int first;
  std::vector<float> weights;
};

std::vector<Taps> TapsOf(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> all(out);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - reach + 0.5));
    const int last = std::min(in, static_cast<int>(center + reach + 0.5));
    std::vector<double> weights(last - first);
    double sum = 0;
    for (int x = first; x < last; ++x) {
      const double distance = std::abs((x - center + 0.5) / reach);
      sum += weights[x - first] = std::max(0.0, 1.0 - distance);
    }
    all[i].first = first;
    for (const double weight : weights) all[i].weights.push_back(static_cast<float>(weight / sum));
  }
  return all;
}

constexpr int kChannels = 3;

}  // namespace

cv::Mat ResizeAntialiased(const cv::Mat& image, Size size) {
  std::array<float, 256> unit;
  for (int value = 0; value < 256; ++value) unit[value] = static_cast<float>(value) / 255.0f;

  const std::vector<Taps> columns = TapsOf(image.cols, size.width);
  cv::Mat wide(image.rows, size.width, CV_32FC3);
  std::vector<float> line(static_cast<std::size_t>(image.cols) * kChannels);
  for (int y = 0; y < image.rows; ++y) {
    const std::uint8_t* in = image.ptr<std::uint8_t>(y);
    for (std::size_t i = 0; i < line.size(); ++i) line[i] = unit[in[i]];
    float* out = wide.ptr<float>(y);
    for (const Taps& taps : columns) {
      const float* from = line.data() + static_cast<std::size_t>(taps.first) * kChannels;
      float sums[kChannels] = {0, 0, 0};
      for (const float weight : taps.weights) {
        for (int c = 0; c < kChannels; ++c) sums[c] += weight * from[c];
        from += kChannels;
      }
      out = std::copy(sums, sums + kChannels, out);
    }
  }

  const std::vector<Taps> rows = TapsOf(image.rows, size.height);
  cv::Mat result = cv::Mat::zeros(size.height, size.width, CV_32FC3);
  const int count = size.width * kChannels;
  for (int y = 0; y < size.height; ++y) {
    float* out = result.ptr<float>(y);
    int row = rows[y].first;
    for (const float weight : rows[y].weights) {
      const float* in = wide.ptr<float>(row++);
      for (int i = 0; i < count; ++i) out[i] += weight * in[i];
    }
  }
  return result;
}

}  // namespace vision
