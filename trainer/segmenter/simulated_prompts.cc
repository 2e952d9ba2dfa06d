#include "trainer/segmenter/simulated_prompts.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace trainer {
namespace {

// Of mean 0 and deviation 1 (Box and Muller 1958).
double Normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.Uniform(0, 1)));
  return radius * std::cos(random.Uniform(0, 2 * std::numbers::pi));
}

// The low-res pixels that the image covers, at least in part.
cv::Rect ImagePart(const segmenter::InputGeometry& geometry, int low_res_size) {
  const auto covered = [&](int input_pixels) {
    const double cells = static_cast<double>(input_pixels) * low_res_size / geometry.image_size;
    return std::clamp(static_cast<int>(std::ceil(cells)), 1, low_res_size);
  };
  return {0, 0, covered(geometry.resized.width), covered(geometry.resized.height)};
}

}  // namespace

cv::Mat CoverageOf(const cv::Mat& mask, const segmenter::InputGeometry& geometry,
                   int low_res_size) {
  cv::Mat square = mask;
  if (geometry.framing == segmenter::Framing::kLongestSide && mask.cols != mask.rows) {
    const int longer = std::max(mask.cols, mask.rows);
    square = cv::Mat(longer, longer, CV_8UC1, cv::Scalar(0));
    mask.copyTo(square(cv::Rect({0, 0}, mask.size())));
  }
  cv::Mat small, coverage;
  cv::resize(square, small, {low_res_size, low_res_size}, 0, 0, cv::INTER_AREA);
  small.convertTo(coverage, CV_32F, 1.0 / 255);
  return coverage;
}

vision::Point RandomPixel(Random& random, const cv::Mat& mask) {
  std::vector<cv::Point> pixels;
  cv::findNonZero(mask, pixels);
  const cv::Point& pixel = pixels[random.Next() % pixels.size()];
  return {static_cast<float>(pixel.x), static_cast<float>(pixel.y)};
}

float MostBoxNoise(const segmenter::InputGeometry& geometry) {
  return 20.0f / 1024 * static_cast<float>(geometry.image_size);
}

segmenter::Prompt BoxPrompt(Random& random, const cv::Mat& mask,
                            const segmenter::InputGeometry& geometry) {
  constexpr float kShare = 0.1f;
  const float most = MostBoxNoise(geometry);
  const cv::Rect around = cv::boundingRect(mask);
  const vision::Point low =
      geometry.ToInput({static_cast<float>(around.x), static_cast<float>(around.y)});
  const vision::Point high = geometry.ToInput(
      {static_cast<float>(around.x + around.width), static_cast<float>(around.y + around.height)});
  const auto moved = [&](float edge, float side) {
    return edge + std::clamp(kShare * side * static_cast<float>(Normal(random)), -most, most);
  };
  const float width = high.x - low.x, height = high.y - low.y;
  const float x_min = moved(low.x, width), y_min = moved(low.y, height);
  const float x_max = moved(high.x, width), y_max = moved(high.y, height);
  return {.points = {}, .box = vision::Box{x_min, y_min, x_max, y_max}, .mask_logits = {}};
}

segmenter::Prompt ClickPrompt(Random& random, const cv::Mat& mask,
                              const segmenter::InputGeometry& geometry) {
  return {.points = {{.at = geometry.ToInput(RandomPixel(random, mask)), .label = 1}},
          .box = {},
          .mask_logits = {}};
}

segmenter::PromptPoint CorrectiveClick(Random& random, const cv::Mat& logits,
                                       const cv::Mat& coverage,
                                       const segmenter::InputGeometry& geometry) {
  const int size = coverage.cols;
  const cv::Rect image = ImagePart(geometry, size);
  cv::Mat object = coverage(image) > 0.5;
  // An object may be too small to cover half of any low-res pixel.
  if (cv::countNonZero(object) == 0) object = coverage(image) > 0;
  cv::Mat region = (logits(image) > 0) ^ object;
  if (cv::countNonZero(region) == 0) region = object;
  const vision::Point cell = RandomPixel(random, region);
  const float pixels_per_cell = static_cast<float>(geometry.image_size) / static_cast<float>(size);
  const bool foreground = object.at<uchar>(static_cast<int>(cell.y), static_cast<int>(cell.x)) != 0;
  // A pixel's position as SAM's API has it: the prompt encoder adds half a pixel.
  return {
      .at = {(cell.x + 0.5f) * pixels_per_cell - 0.5f, (cell.y + 0.5f) * pixels_per_cell - 0.5f},
      .label = foreground ? 1 : 0};
}

}  // namespace trainer
