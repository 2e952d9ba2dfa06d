#include "segmenter_service/inference/preprocess.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "vision/pil_resize.h"

namespace segmenter {
namespace {

constexpr std::array<float, 3> kMean = {123.675f, 116.28f, 103.53f};  // R, G, B
constexpr std::array<float, 3> kDeviation = {58.395f, 57.12f, 57.375f};

}  // namespace

vision::Point InputGeometry::ToInput(vision::Point point) const {
  const double ratio_x = static_cast<double>(resized.width) / original.width;
  const double ratio_y = static_cast<double>(resized.height) / original.height;
  return {static_cast<float>(point.x * ratio_x), static_cast<float>(point.y * ratio_y)};
}

absl::StatusOr<InputGeometry> FitInput(vision::Size original, int image_size) {
  // ResizeLongestSide.get_preprocess_shape: scale first, then round half up.
  const double scale =
      static_cast<double>(image_size) / std::max({original.width, original.height, 1});
  const vision::Size resized{static_cast<int>(original.width * scale + 0.5),
                             static_cast<int>(original.height * scale + 0.5)};
  if (resized.width < 1 || resized.height < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the picture is ", original.width, "x", original.height,
        " pixels; with its longest side scaled to ", image_size, " the other one would vanish"));
  }
  return InputGeometry{original, resized, image_size};
}

vision::MaskRenderer MakeMaskRenderer(const InputGeometry& geometry, int low_res_size) {
  const auto axis = [&](int resized, int original) {
    return vision::MaskAxis{.low_res = low_res_size,
                            .input = geometry.image_size,
                            .kept = resized,
                            .scaled = original,
                            .picture = original};
  };
  return {axis(geometry.resized.width, geometry.original.width),
          axis(geometry.resized.height, geometry.original.height)};
}

cv::Mat ResizeToInput(const cv::Mat& image, const InputGeometry& geometry) {
  return vision::PilResizeBilinear(image, geometry.resized);
}

void NormalizeAndPad(const cv::Mat& resized, const InputGeometry& geometry, float* planes) {
  const std::size_t side = static_cast<std::size_t>(geometry.image_size);
  std::fill(planes, planes + 3 * side * side, 0.0f);
  for (int channel = 0; channel < 3; ++channel) {
    // A true division for each value, as upstream; multiplying by the inverse changes last bits.
    std::array<float, 256> normalized;
    for (int value = 0; value < 256; ++value) {
      normalized[value] = (static_cast<float>(value) - kMean[channel]) / kDeviation[channel];
    }
    for (int y = 0; y < resized.rows; ++y) {
      const std::uint8_t* in = resized.ptr<std::uint8_t>(y) + (2 - channel);
      float* out = planes + (channel * side + y) * side;
      for (int x = 0; x < resized.cols; ++x) out[x] = normalized[in[3 * x]];
    }
  }
}

}  // namespace segmenter
