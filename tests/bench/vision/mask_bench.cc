// A 12-megapixel mask of one object with a wavy outline, and what is made of it.
#include <benchmark/benchmark.h>

#include <cmath>
#include <opencv2/core.hpp>

#include "vision/mask.h"
#include "vision/mask_rle.h"
#include "vision/mask_shapes.h"

namespace vision {
namespace {

const cv::Mat& Values() {
  static const cv::Mat values = [] {
    cv::Mat drawn(3000, 4000, CV_32FC1);
    for (int y = 0; y < drawn.rows; ++y) {
      for (int x = 0; x < drawn.cols; ++x) {
        const double dx = (x - 2000) / 1700.0;
        const double dy = (y - 1500) / 1300.0;
        const double wave = 1 + 0.1 * std::sin(40 * std::atan2(dy, dx));
        drawn.at<float>(y, x) = static_cast<float>(wave - std::hypot(dx, dy));
      }
    }
    return drawn;
  }();
  return values;
}

const cv::Mat& Pixels() {
  static const cv::Mat pixels = Values() > 0;
  return pixels;
}

const Mask& TheMask() {
  static const Mask mask = MaskFromPixels(Pixels());
  return mask;
}

void ScanPixels(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(MaskFromPixels(Pixels()));
}
BENCHMARK(ScanPixels)->Unit(benchmark::kMillisecond);

void ScanValues(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(MaskFromValues(Values(), 0));
}
BENCHMARK(ScanValues)->Unit(benchmark::kMillisecond);

void PixelsToCocoRle(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(EncodeCocoRle(MaskFromPixels(Pixels())));
}
BENCHMARK(PixelsToCocoRle)->Unit(benchmark::kMillisecond);

void CocoRleToMask(benchmark::State& state) {
  const std::string counts = EncodeCocoRle(TheMask());
  for (auto _ : state) benchmark::DoNotOptimize(DecodeCocoRle(TheMask().size, counts));
}
BENCHMARK(CocoRleToMask)->Unit(benchmark::kMillisecond);

void PixelsToPolygons(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(ToPolygons(MaskFromPixels(Pixels()), {.tolerance_px = 1}));
  }
}
BENCHMARK(PixelsToPolygons)->Unit(benchmark::kMillisecond);

void EllipseOfMask(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ToEllipse(TheMask()));
}
BENCHMARK(EllipseOfMask)->Unit(benchmark::kMillisecond);

void InnermostPointOfMask(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(InnermostPoint(TheMask()));
}
BENCHMARK(InnermostPointOfMask)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vision

BENCHMARK_MAIN();
