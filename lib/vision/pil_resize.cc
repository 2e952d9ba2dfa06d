#include "vision/pil_resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace vision {
namespace {

// 32 bits less 8 of the pixel and 2 of headroom.
constexpr int kPrecisionBits = 22;
constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

// What one output coordinate reads: inputs [first, first + weights.size()).
struct Taps {
  int first;
  std::vector<std::int32_t> weights;  // sum to about 2^22
};

std::vector<Taps> TriangleFilter(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double support = std::max(scale, 1.0);
  const double inverse = 1.0 / support;
  std::vector<Taps> result;
  result.reserve(out);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(in, static_cast<int>(center + support + 0.5));
    std::vector<double> weights(end - first);
    double sum = 0;
    for (int x = first; x < end; ++x) {
      const double t = std::abs((x - center + 0.5) * inverse);
      sum += weights[x - first] = t < 1.0 ? 1.0 - t : 0.0;
    }
    Taps taps{first, {}};
    for (const double weight : weights) {
      taps.weights.push_back(static_cast<std::int32_t>(0.5 + weight / sum * (1 << kPrecisionBits)));
    }
    result.push_back(std::move(taps));
  }
  return result;
}

std::uint8_t Round(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

// One pixel's three channels and an idle lane, so that a tap is one multiply-add of a vector
// register.
using Lanes = std::int32_t __attribute__((vector_size(16)));

cv::Mat ResizeColumns(const cv::Mat& image, int width) {
  const std::vector<Taps> filter = TriangleFilter(image.cols, width);
  cv::Mat result(image.rows, width, CV_8UC3);
  std::vector<Lanes> widened(image.cols);
  for (int y = 0; y < image.rows; ++y) {
    const std::uint8_t* in = image.ptr<std::uint8_t>(y);
    for (int x = 0; x < image.cols; ++x)
      widened[x] = Lanes{in[3 * x], in[3 * x + 1], in[3 * x + 2], 0};
    std::uint8_t* out = result.ptr<std::uint8_t>(y);
    for (const Taps& taps : filter) {
      Lanes sum = {kHalf, kHalf, kHalf, kHalf};
      const Lanes* pixel = &widened[taps.first];
      for (const std::int32_t weight : taps.weights) sum += *pixel++ * weight;
      for (int c = 0; c < 3; ++c) *out++ = Round(sum[c]);
    }
  }
  return result;
}

cv::Mat ResizeRows(const cv::Mat& image, int height) {
  const std::vector<Taps> filter = TriangleFilter(image.rows, height);
  cv::Mat result(height, image.cols, CV_8UC3);
  const int row_bytes = image.cols * 3;
  std::vector<std::int32_t> sum(row_bytes);
  for (int y = 0; y < height; ++y) {
    std::fill(sum.begin(), sum.end(), kHalf);
    const Taps& taps = filter[y];
    for (std::size_t k = 0; k < taps.weights.size(); ++k) {
      const std::uint8_t* in = image.ptr<std::uint8_t>(taps.first + static_cast<int>(k));
      const std::int32_t weight = taps.weights[k];
      for (int i = 0; i < row_bytes; ++i) sum[i] += weight * in[i];
    }
    std::uint8_t* out = result.ptr<std::uint8_t>(y);
    for (int i = 0; i < row_bytes; ++i) out[i] = Round(sum[i]);
  }
  return result;
}

}  // namespace

cv::Mat PilResizeBilinear(const cv::Mat& image, Size size) {
  CV_Assert(image.type() == CV_8UC3 && !image.empty() && size.width > 0 && size.height > 0);
  const cv::Mat columns = size.width == image.cols ? image : ResizeColumns(image, size.width);
  return size.height == columns.rows ? columns : ResizeRows(columns, size.height);
}

}  // namespace vision
