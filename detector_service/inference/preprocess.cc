#include "detector_service/inference/preprocess.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <opencv2/imgproc.hpp>

namespace detector {
namespace {

// What the network's coarsest cells measure; its levels fit together only on multiples of it.
constexpr int kStrideOfAll = 32;

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

// mmcv.rescale_size: the long side into the long one, the short side into the short one.
double FactorInto(vision::Size target, vision::Size image) {
  const double width = image.width, height = image.height;
  return std::min(std::max(target.width, target.height) / std::max(width, height),
                  std::min(target.width, target.height) / std::min(width, height));
}

// The sides that the image is scaled to at first.
vision::Size Scaled(vision::Size image, const DetectorSettings& settings) {
  const double factor = FactorInto(settings.input_size, image);
  switch (settings.resize) {
    case Resize::kNone:
      return image;
    case Resize::kFit:
      return {static_cast<int>(image.width * factor + 0.5),
              static_cast<int>(image.height * factor + 0.5)};
    case Resize::kLetterbox:
      // Truncated: 77 * (640 / 77.0) is 639, and the missing column is padding.
      return {static_cast<int>(image.width * factor), static_cast<int>(image.height * factor)};
    case Resize::kStretch:
      return settings.input_size;
  }
  return image;
}

// LetterResize of an image that was scaled to `scaled`: it is scaled once more if it does not lie
// in the box, or if it may grow to fill it. Python's round() is half to even, as nearbyint.
vision::Size ScaledIntoBox(vision::Size scaled, vision::Size box, bool may_grow) {
  double ratio = std::min(box.height / static_cast<double>(scaled.height),
                          box.width / static_cast<double>(scaled.width));
  if (!may_grow) ratio = std::min(ratio, 1.0);
  return {static_cast<int>(std::nearbyint(scaled.width * ratio)),
          static_cast<int>(std::nearbyint(scaled.height * ratio))};
}

int RoundUp(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

vision::Size RoundUp(vision::Size size, int multiple) {
  return {RoundUp(size.width, multiple), RoundUp(size.height, multiple)};
}

// Pad at the right and bottom. An image that is larger stays as it is.
vision::Size Padded(vision::Size scaled, const DetectorSettings& settings) {
  const vision::Size least = settings.pad_to();
  vision::Size padded = {std::max(scaled.width, least.width),
                         std::max(scaled.height, least.height)};
  if (settings.pad_to_square) {
    padded.width = padded.height = std::max(padded.width, padded.height);
  }
  return RoundUp(padded, settings.pad_multiple);
}

struct Steps {
  vision::Size scaled;  // after the first resize
  vision::Size placed;  // after the second one, of a letterbox
  Placement placement;
};

// One row of 5000 pixels keeps a row. Upstream's sides become 0 there, and its cv2.resize fails.
vision::Size AtLeastAPixel(vision::Size size) {
  return {std::max(size.width, 1), std::max(size.height, 1)};
}

absl::StatusOr<Steps> PlanSteps(vision::Size image, const DetectorSettings& settings) {
  Steps steps{.scaled = AtLeastAPixel(Scaled(image, settings))};
  steps.placed = steps.scaled;
  Placement& placement = steps.placement;
  placement.image = image;
  if (settings.resize == Resize::kLetterbox) {
    const vision::Size box = settings.pad_to();
    steps.placed = AtLeastAPixel(ScaledIntoBox(steps.scaled, box, settings.letterbox_may_grow));
    placement.left = (box.width - steps.placed.width) / 2;
    placement.top = (box.height - steps.placed.height) / 2;
    placement.padded = box;
  } else {
    placement.padded = Padded(steps.scaled, settings);
  }
  // mmyolo multiplies the factors of both resizes.
  const auto scale = [](int from, int scaled, int placed) {
    return placed / static_cast<double>(scaled) * (scaled / static_cast<double>(from));
  };
  placement.scale_x = scale(image.width, steps.scaled.width, steps.placed.width);
  placement.scale_y = scale(image.height, steps.scaled.height, steps.placed.height);
  placement.input = RoundUp(placement.padded, settings.batch_multiple);
  const vision::Size input = placement.input;
  if (input.width % kStrideOfAll != 0 || input.height % kStrideOfAll != 0 ||
      input.width > kMaxInputSide || input.height > kMaxInputSide) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "an image of %d x %d pixels becomes an input of %d x %d by the checkpoint's test pipeline; "
        "the network needs multiples of %d up to %d. --input_size=%dx%d sets another input size",
        image.width, image.height, input.width, input.height, kStrideOfAll, kMaxInputSide,
        RoundUp(settings.input_size.width, kStrideOfAll),
        RoundUp(settings.input_size.height, kStrideOfAll)));
  }
  return steps;
}

}  // namespace

absl::StatusOr<Placement> PlaceImage(vision::Size image, const DetectorSettings& settings) {
  const absl::StatusOr<Steps> steps = PlanSteps(image, settings);
  if (!steps.ok()) return steps.status();
  return steps->placement;
}

bool HasOneInputSize(const DetectorSettings& settings) {
  if (settings.resize == Resize::kLetterbox || settings.resize == Resize::kStretch) return true;
  const auto [width, height] = settings.input_size;
  const vision::Size least = settings.pad_to();
  const bool padded_to_it =
      settings.pad_to_square || (least.width >= width && least.height >= height);
  return settings.resize == Resize::kFit && width == height && padded_to_it;
}

absl::StatusOr<cv::Mat> FitImage(const cv::Mat& image, const DetectorSettings& settings,
                                 Placement* placement) {
  const absl::StatusOr<Steps> steps = PlanSteps({image.cols, image.rows}, settings);
  if (!steps.ok()) return steps.status();
  *placement = steps->placement;
  const bool shrinks = steps->scaled.width < image.cols || steps->scaled.height < image.rows;
  const bool letterbox = settings.resize == Resize::kLetterbox;
  const cv::InterpolationFlags first =
      letterbox ? (shrinks ? cv::INTER_AREA : cv::INTER_LINEAR) : FlagOf(settings.interpolation);
  try {
    cv::Mat fitted(placement->padded.height, placement->padded.width, CV_8UC3,
                   cv::Scalar(settings.pad_value[0], settings.pad_value[1], settings.pad_value[2]));
    cv::Mat window = fitted(
        cv::Rect(placement->left, placement->top, steps->placed.width, steps->placed.height));
    const cv::Size scaled(steps->scaled.width, steps->scaled.height);
    if (steps->placed == steps->scaled) {
      cv::resize(image, window, scaled, 0, 0, first);
    } else {
      cv::Mat between;
      cv::resize(image, between, scaled, 0, 0, first);
      cv::resize(between, window, window.size(), 0, 0, FlagOf(settings.interpolation));
    }
    return fitted;
  } catch (const cv::Exception& e) {
    return absl::InternalError(absl::StrCat("resize the image: ", e.what()));
  }
}

void Normalize(const cv::Mat& fitted, const DetectorSettings& settings, float* input) {
  Normalize(fitted, settings, {fitted.cols, fitted.rows}, input);
}

void Normalize(const cv::Mat& fitted, const DetectorSettings& settings, vision::Size input_size,
               float* input) {
  // One table per channel instead of a division per pixel; the entries are what the division gives.
  std::array<std::array<float, 256>, 3> table;
  for (int channel = 0; channel < 3; ++channel) {
    for (int value = 0; value < 256; ++value) {
      table[channel][value] =
          (static_cast<float>(value) - settings.mean[channel]) / settings.std[channel];
    }
  }
  const auto width = static_cast<std::size_t>(input_size.width);
  const std::size_t plane = width * input_size.height;
  float* const planes[3] = {input, input + plane, input + 2 * plane};
  if (fitted.cols < input_size.width || fitted.rows < input_size.height) {
    std::fill_n(input, 3 * plane, settings.batch_pad_value);
  }
  const int first = settings.bgr_to_rgb ? 2 : 0;
  const int last = 2 - first;
#pragma omp parallel for schedule(static)
  for (int y = 0; y < fitted.rows; ++y) {
    const std::uint8_t* pixel = fitted.ptr<std::uint8_t>(y);
    const std::size_t row = static_cast<std::size_t>(y) * width;
    for (int x = 0; x < fitted.cols; ++x, pixel += 3) {
      planes[0][row + x] = table[0][pixel[first]];
      planes[1][row + x] = table[1][pixel[1]];
      planes[2][row + x] = table[2][pixel[last]];
    }
  }
}

}  // namespace detector
