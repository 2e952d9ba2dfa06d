// What a user of the segmenter waits for, at official sizes with random weights: the encoders of
// ViT-B, MobileSAM and SAM 2 tiny, a click, 16 boxes, and the mask of a 12-megapixel image.
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
#include "segmenter_service/modeling/mobile_sam.h"
#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/modeling/sam2.h"
#include "segmenter_service/rpc/mask_message.h"

namespace segmenter {
namespace {

// The network's weights are borrowed from `module`, which must stay.
template <typename Module>
SamNetwork& Serve(const Module& module, const std::string& precision) {
  absl::StatusOr<std::unique_ptr<SamNetwork>> network =
      LoadNetwork(nn::ToStateDict(*module), {.precision = precision});
  if (!network.ok() || !(*network)->WarmUp().ok()) {
    std::cerr << network.status() << "\n";
    std::exit(1);
  }
  return **new std::unique_ptr<SamNetwork>(*std::move(network));
}

SamNetwork& VitB(const std::string& precision) {
  static Sam* const sam = new Sam(SamConfig{});
  return Serve(*sam, precision);
}

SamNetwork& MobileSamNetwork(const std::string& precision) {
  static MobileSam* const sam = [] {
    MobileSamConfig config;
    config.image_encoder.layers = {
        {.dim = 64, .depth = 2, .hidden = 256},
        {.dim = 128, .depth = 2, .hidden = 512, .num_heads = 4, .window = 7},
        {.dim = 160, .depth = 6, .hidden = 640, .num_heads = 5, .window = 14, .stride = 1},
        {.dim = 320, .depth = 2, .hidden = 1280, .num_heads = 10, .window = 7},
    };
    auto* made = new MobileSam(config);
    (*made)->eval();
    return made;
  }();
  return Serve(*sam, precision);
}

SamNetwork& HieraTiny(const std::string& precision) {
  static Sam2* const sam = [] {
    Sam2Config config;
    config.mask_decoder.kind = MaskDecoderConfig::Kind::kSam2;
    return new Sam2(config);
  }();
  return Serve(*sam, precision);
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

void EncodeMobileSamFp32(benchmark::State& state) {
  static SamNetwork& network = MobileSamNetwork("fp32");
  Encode(state, network);
}
BENCHMARK(EncodeMobileSamFp32)->Unit(benchmark::kMillisecond)->UseRealTime();
void EncodeMobileSamBf16(benchmark::State& state) {
  static SamNetwork& network = MobileSamNetwork("bf16");
  Encode(state, network);
}
BENCHMARK(EncodeMobileSamBf16)->Unit(benchmark::kMillisecond)->UseRealTime();
void EncodeSam2TinyFp32(benchmark::State& state) {
  static SamNetwork& network = HieraTiny("fp32");
  Encode(state, network);
}
BENCHMARK(EncodeSam2TinyFp32)->Unit(benchmark::kMillisecond)->UseRealTime();
void EncodeSam2TinyBf16(benchmark::State& state) {
  static SamNetwork& network = HieraTiny("bf16");
  Encode(state, network);
}
BENCHMARK(EncodeSam2TinyBf16)->Unit(benchmark::kMillisecond)->UseRealTime();

void DecodeBoxes(benchmark::State& state) {
  const FeatureShape shape{256, 64, 64};
  // Floats of 0.046.
  const Embedding embedding{{{shape, std::vector<std::byte>(shape.bytes(), std::byte{0x3d})}}};
  std::vector<Prompt> prompts(state.range(0));
  for (Prompt& prompt : prompts) prompt.box = vision::Box{100, 100, 500, 400};
  for (auto _ : state) {
    benchmark::DoNotOptimize(Fp32().DecodeMasks(embedding, prompts, /*multimask_output=*/false));
  }
}
BENCHMARK(DecodeBoxes)->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();

// One object from its low-res logits to the message that holds it.
void WriteMask(benchmark::State& state, const MaskFormats& formats) {
  const vision::Size original{static_cast<int>(state.range(0)), static_cast<int>(state.range(1))};
  const InputGeometry geometry = FitInput(original, 1024);
  std::vector<float> logits;
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      logits.push_back(static_cast<float>(10 - std::hypot(x - 128, y - 96) / 8));
    }
  }
  for (auto _ : state) {
    duet::segmenter::v1::Mask message;
    const vision::MaskRenderer renderer = MakeMaskRenderer(geometry, 256);
    benchmark::DoNotOptimize(WriteMask(renderer.Render(logits), {}, formats, &message));
  }
}
void WriteMaskRle(benchmark::State& state) { WriteMask(state, {.coco_rle = true}); }
BENCHMARK(WriteMaskRle)->Args({1280, 960})->Args({4000, 3000})->Unit(benchmark::kMillisecond);
void WriteMaskPolygons(benchmark::State& state) { WriteMask(state, {.polygons = true}); }
BENCHMARK(WriteMaskPolygons)->Args({1280, 960})->Args({4000, 3000})->Unit(benchmark::kMillisecond);

void Preprocess(benchmark::State& state) {
  const cv::Mat picture(static_cast<int>(state.range(1)), static_cast<int>(state.range(0)), CV_8UC3,
                        cv::Scalar(1, 2, 3));
  const InputGeometry geometry = FitInput({picture.cols, picture.rows}, 1024);
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
