#include "detector_service/inference/preprocess.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <opencv2/imgproc.hpp>

namespace detector {
namespace {

// The sides that the image is scaled to, and how.
struct Scaling {
  vision::Size size;
  cv::InterpolationFlags interpolation;
};

cv::InterpolationFlags FlagOf(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kNearest:
      return cv::INTER_NEAREST;
    case Interpolation::kBilinear:
      return cv::INTER_LINEAR;
    case Interpolation::kBicubic:
      return cv::INTER_CUBIC;
    case Interpolation::kArea:
      return cv::INTER_AREA;
    case Interpolation::kLanczos:
      return cv::INTER_LANCZOS4;
  }
  return cv::INTER_LINEAR;
}

Scaling ChooseScaling(double width, double height, const DetectorSettings& settings) {
  const vision::Size target = settings.input_size;
  // mmcv.rescale_size: the long side into the long one, the short side into the short one.
  const double factor = std::min(std::max(target.width, target.height) / std::max(width, height),
                                 std::min(target.width, target.height) / std::min(width, height));
  switch (settings.resize) {
    case Resize::kFit:
      return {{static_cast<int>(width * factor + 0.5), static_cast<int>(height * factor + 0.5)},
              FlagOf(settings.interpolation)};
    case Resize::kLetterbox:
      // Truncated: 77 * (640 / 77.0) is 639, and the missing column is padding.
      return {{static_cast<int>(width * factor), static_cast<int>(height * factor)},
              factor < 1 ? cv::INTER_AREA : cv::INTER_LINEAR};
    case Resize::kStretch:
      return {target, FlagOf(settings.interpolation)};
  }
  return {target, cv::INTER_LINEAR};
}

}  // namespace

absl::StatusOr<cv::Mat> FitImage(const cv::Mat& image, const DetectorSettings& settings,
                                 Placement* placement) {
  const vision::Size target = settings.input_size;
  auto [size, interpolation] = ChooseScaling(image.cols, image.rows, settings);
  // One row of 5000 pixels keeps a row. Upstream's sides become 0 there, and its cv2.resize fails.
  size = {std::max(size.width, 1), std::max(size.height, 1)};
  const bool centred = settings.resize == Resize::kLetterbox;
  *placement = {.image = {image.cols, image.rows},
                .scale_x = size.width / static_cast<double>(image.cols),
                .scale_y = size.height / static_cast<double>(image.rows),
                .left = centred ? (target.width - size.width) / 2 : 0,
                .top = centred ? (target.height - size.height) / 2 : 0};
  try {
    cv::Mat fitted(target.height, target.width, CV_8UC3,
                   cv::Scalar(settings.pad_value[0], settings.pad_value[1], settings.pad_value[2]));
    cv::Mat window = fitted(cv::Rect(placement->left, placement->top, size.width, size.height));
    cv::resize(image, window, window.size(), 0, 0, interpolation);
    return fitted;
  } catch (const cv::Exception& e) {
    return absl::InternalError(absl::StrCat("resize the image: ", e.what()));
  }
}

void Normalize(const cv::Mat& fitted, const DetectorSettings& settings, float* input) {
  // One table per channel instead of a division per pixel; the entries are what the division gives.
  std::array<std::array<float, 256>, 3> table;
  for (int channel = 0; channel < 3; ++channel) {
    for (int value = 0; value < 256; ++value) {
      table[channel][value] =
          (static_cast<float>(value) - settings.mean[channel]) / settings.std[channel];
    }
  }
  const std::size_t plane = static_cast<std::size_t>(fitted.rows) * fitted.cols;
  float* const planes[3] = {input, input + plane, input + 2 * plane};
  const int first = settings.bgr_to_rgb ? 2 : 0;
  const int last = 2 - first;
#pragma omp parallel for schedule(static)
  for (int y = 0; y < fitted.rows; ++y) {
    const std::uint8_t* pixel = fitted.ptr<std::uint8_t>(y);
    const std::size_t row = static_cast<std::size_t>(y) * fitted.cols;
    for (int x = 0; x < fitted.cols; ++x, pixel += 3) {
      planes[0][row + x] = table[0][pixel[first]];
      planes[1][row + x] = table[1][pixel[1]];
      planes[2][row + x] = table[2][pixel[last]];
    }
  }
}

}  // namespace detector
