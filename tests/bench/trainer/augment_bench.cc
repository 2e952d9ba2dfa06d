// How many training images a second one thread makes, from JPEG files of 640x480 to what the
// network gets. Argument: how many of them there are; memory holds all of 64, and some of 4096.
#include <benchmark/benchmark.h>

#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "trainer/augment/batch_loader.h"
#include "trainer/samples/dataset_source.h"
#include "trainer/scenes/scene.h"

namespace trainer {
namespace {

// `count` samples that share a few images in memory.
dataset::Dataset Scenes(std::size_t count) {
  constexpr std::size_t kDifferent = 8;
  dataset::Dataset data{ShapeNames(), {}};
  for (std::size_t i = 0; i < kDifferent; ++i) {
    const Scene scene = DrawScene(i, {.size = {640, 480}});
    std::vector<unsigned char> jpeg;
    cv::imencode(".jpg", scene.image, jpeg);
    dataset::Sample& sample = data.samples.emplace_back();
    sample.image_bytes = std::make_shared<const std::string>(jpeg.begin(), jpeg.end());
    for (const SceneObject& drawn : scene.objects) {
      dataset::Object& object = sample.objects.emplace_back();
      object.box = drawn.box;
      object.class_index = static_cast<int>(drawn.shape);
      object.mask = vision::MaskFromPixels(drawn.mask);
    }
  }
  while (data.samples.size() < count) {
    data.samples.push_back(data.samples[data.samples.size() - kDifferent]);
  }
  return data;
}

void MakeImages(benchmark::State& state, const Recipe& recipe, std::uint64_t plain_from) {
  const DatasetSource source(Scenes(static_cast<std::size_t>(state.range(0))), "",
                             recipe.first.masks);
  const TrainingSequence sequence(source, recipe,
                                  {.plain_from = plain_from, .memory_bytes = 128U << 20});
  BatchLoader loader(sequence, {.batch_size = 8, .threads = 1});
  for (auto _ : state) {
    if (!loader.Next().ok()) state.SkipWithError("no batch");
  }
  state.SetItemsProcessed(state.iterations() * 8);
}

void Mosaic(benchmark::State& state, ModelScale scale, bool masks, int side) {
  MakeImages(state, RtmdetRecipe(scale, masks, side), ~std::uint64_t{0});
}

void Plain(benchmark::State& state, ModelScale scale, bool masks, int side) {
  MakeImages(state, RtmdetRecipe(scale, masks, side), 0);
}

BENCHMARK_CAPTURE(Mosaic, tiny_640, ModelScale::kTiny, false, 640)
    ->Arg(64)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Mosaic, large_640, ModelScale::kMediumAndUp, false, 640)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Mosaic, ins_tiny_640, ModelScale::kTiny, true, 640)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Mosaic, nano_320, ModelScale::kNano, false, 320)
    ->Arg(64)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Plain, tiny_640, ModelScale::kTiny, false, 640)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Plain, nano_320, ModelScale::kNano, false, 320)
    ->Arg(4096)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trainer

BENCHMARK_MAIN();
