#include "segmenter_service/inference/preprocess.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "vision/float_resize.h"
#include "vision/imagenet.h"
#include "vision/pil_resize.h"

namespace segmenter {
namespace {

// ImageNet's mean and deviation in 0..1, as SAM 2 writes them; R, G, B.
constexpr std::array<float, 3> kUnitMean = {0.485f, 0.456f, 0.406f};
constexpr std::array<float, 3> kUnitDeviation = {0.229f, 0.224f, 0.225f};

// What each of a channel's values becomes. A true division for each, as upstream; multiplying by
// the inverse changes last bits.
const std::array<float, 256>& Normalized(int channel) {
  static const auto* const tables = [] {
    auto* made = new std::array<std::array<float, 256>, 3>;
    for (int c = 0; c < 3; ++c) {
      for (int value = 0; value < 256; ++value) {
        (*made)[c][value] =
            (static_cast<float>(value) - vision::kImageNetMean[c]) / vision::kImageNetStd[c];
      }
    }
    return made;
  }();
  return (*tables)[channel];
}

}  // namespace

vision::Point InputGeometry::ToInput(vision::Point point) const {
  if (framing == Framing::kStretch) {  // to 0..1 first, in single precision, as Torch does
    const float side = static_cast<float>(image_size);
    return {point.x / static_cast<float>(original.width) * side,
            point.y / static_cast<float>(original.height) * side};
  }
  // The ratio first, in double, as numpy does.
  const double ratio_x = static_cast<double>(resized.width) / original.width;
  const double ratio_y = static_cast<double>(resized.height) / original.height;
  return {static_cast<float>(point.x * ratio_x), static_cast<float>(point.y * ratio_y)};
}

InputGeometry FitInput(vision::Size original, int image_size, Framing framing) {
  if (framing == Framing::kStretch) {
    return InputGeometry{original, {image_size, image_size}, image_size, framing};
  }
  // ResizeLongestSide.get_preprocess_shape: scale first, then round half up.
  const double scale =
      static_cast<double>(image_size) / std::max({original.width, original.height, 1});
  const auto scaled = [&](int side) { return std::max(static_cast<int>(side * scale + 0.5), 1); };
  return InputGeometry{original, {scaled(original.width), scaled(original.height)}, image_size};
}

vision::MaskRenderer MakeMaskRenderer(const InputGeometry& geometry, int low_res_size) {
  // SAM 2's one step is SAM's two of which the first changes nothing.
  const bool once = geometry.framing == Framing::kStretch;
  const auto axis = [&](int resized, int original) {
    return vision::MaskAxis{.low_res = low_res_size,
                            .input = once ? low_res_size : geometry.image_size,
                            .kept = once ? low_res_size : resized,
                            .scaled = original,
                            .image = original};
  };
  return {axis(geometry.resized.width, geometry.original.width),
          axis(geometry.resized.height, geometry.original.height)};
}

cv::Mat ResizeToInput(const cv::Mat& image, const InputGeometry& geometry) {
  if (geometry.framing == Framing::kStretch) {
    return vision::ResizeAntialiased(image, geometry.resized);
  }
  return vision::PilResizeBilinear(image, geometry.resized);
}

void NormalizeAndPad(const cv::Mat& resized, const InputGeometry& geometry, float* planes) {
  const std::size_t side = static_cast<std::size_t>(geometry.image_size);
  std::fill(planes, planes + 3 * side * side, 0.0f);
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < resized.rows; ++y) {
      float* out = planes + (channel * side + y) * side;
      if (resized.depth() == CV_32F) {
        const float* in = resized.ptr<float>(y) + (2 - channel);
        for (int x = 0; x < resized.cols; ++x) {
          out[x] = (in[3 * x] - kUnitMean[channel]) / kUnitDeviation[channel];
        }
      } else {
        const std::uint8_t* in = resized.ptr<std::uint8_t>(y) + (2 - channel);
        const std::array<float, 256>& normalized = Normalized(channel);
        for (int x = 0; x < resized.cols; ++x) out[x] = normalized[in[3 * x]];
      }
    }
  }
}

}  // namespace segmenter
