// What a user of the segmenter waits for, at the official ViT-B's size with random weights: the
// encoder, a click, 16 boxes, and the mask of a 12-megapixel picture.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <opencv2/core.hpp>
#include <vector>

#include "nn/state_dict.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "segmenter_service/modeling/sam.h"

namespace segmenter {
namespace {

SamNetwork& VitB(const std::string& precision) {
  static Sam* const sam = new Sam(SamConfig{});  // its weights are borrowed
  absl::StatusOr<std::unique_ptr<SamNetwork>> network =
      LoadNetwork(nn::ToStateDict(**sam), {.precision = precision});
  if (!network.ok() || !(*network)->WarmUp(/*threads=*/0).ok()) {
    std::cerr << network.status() << "\n";
    std::exit(1);
  }
  return **new std::unique_ptr<SamNetwork>(*std::move(network));
}

SamNetwork& Fp32() {
  static SamNetwork& network = VitB("fp32");
  return network;
}

void Encode(benchmark::State& state, SamNetwork& network) {
  const std::vector<float> input(3 * 1024 * 1024, 0.5f);
  for (auto _ : state) {
    benchmark::DoNotOptimize(network.EncodeImage(input, [] { return absl::OkStatus(); }));
  }
}
void EncodeFp32(benchmark::State& state) { Encode(state, Fp32()); }
BENCHMARK(EncodeFp32)->Unit(benchmark::kMillisecond)->UseRealTime();
void EncodeBf16(benchmark::State& state) {
  static SamNetwork& network = VitB("bf16");
  Encode(state, network);
}
BENCHMARK(EncodeBf16)->Unit(benchmark::kMillisecond)->UseRealTime();

void DecodeBoxes(benchmark::State& state) {
  const std::vector<float> embedding(256 * 64 * 64, 0.1f);
  std::vector<Prompt> prompts(state.range(0));
  for (Prompt& prompt : prompts) prompt.box = vision::Box{100, 100, 500, 400};
  for (auto _ : state) {
    benchmark::DoNotOptimize(Fp32().DecodeMasks(embedding, prompts, /*multimask_output=*/false));
  }
}
BENCHMARK(DecodeBoxes)->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();

void RenderMask(benchmark::State& state) {
  const vision::Size original{static_cast<int>(state.range(0)), static_cast<int>(state.range(1))};
  const vision::MaskRenderer renderer = MakeMaskRenderer(FitInput(original, 1024).value(), 256);
  std::vector<float> logits;
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      logits.push_back(static_cast<float>(10 - std::hypot(x - 128, y - 96) / 8));
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(renderer.Render(logits));
}
BENCHMARK(RenderMask)->Args({1280, 960})->Args({4000, 3000})->Unit(benchmark::kMillisecond);

void Preprocess(benchmark::State& state) {
  const cv::Mat picture(static_cast<int>(state.range(1)), static_cast<int>(state.range(0)), CV_8UC3,
                        cv::Scalar(1, 2, 3));
  const InputGeometry geometry = FitInput({picture.cols, picture.rows}, 1024).value();
  std::vector<float> input(3 * 1024 * 1024);
  for (auto _ : state) {
    NormalizeAndPad(ResizeToInput(picture, geometry), geometry, input.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Preprocess)->Args({1280, 960})->Args({4000, 3000})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace segmenter

BENCHMARK_MAIN();
