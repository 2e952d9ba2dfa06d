// How long it takes to make one list of detections from those of an image's tiles.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "vision/merge_boxes.h"

namespace {

// As tiles with an overlap leave them in an image of 8,000²: objects of 6 to 60 pixels, a third of
// them found twice, most of one class in ten.
std::vector<vision::ScoredBox> Detections(std::size_t count) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> place(0, 7900);
  std::uniform_real_distribution<float> side(6, 60);
  std::uniform_real_distribution<float> shift(-2, 2);
  std::uniform_real_distribution<float> score(0.05F, 1);
  std::discrete_distribution<int> label({10, 5, 3, 1, 1, 1, 1, 1, 1, 1});
  std::vector<vision::ScoredBox> boxes;
  while (boxes.size() < count) {
    const float x = place(generator);
    const float y = place(generator);
    vision::ScoredBox one = {
        {x, y, x + side(generator), y + side(generator)}, score(generator), label(generator)};
    boxes.push_back(one);
    if (boxes.size() % 3 != 0 || boxes.size() == count) continue;
    one.box.x_min += shift(generator);
    one.box.y_max += shift(generator);
    one.score = score(generator);
    boxes.push_back(one);
  }
  return boxes;
}

// All found in the same place: in a crowd everybody may match everybody.
std::vector<vision::ScoredBox> Crowd(std::size_t count) {
  std::vector<vision::ScoredBox> boxes = Detections(count);
  for (vision::ScoredBox& one : boxes) {
    one = {{one.box.x_min / 1000, one.box.y_min / 1000, 60, 60}, one.score, 0};
  }
  return boxes;
}

void Merge(benchmark::State& state, vision::MergeMethod method, bool crowd = false) {
  const std::vector<vision::ScoredBox> boxes =
      crowd ? Crowd(state.range(0)) : Detections(state.range(0));
  std::size_t left = 0;
  for (auto _ : state) left = vision::MergeBoxes(boxes, {.method = method}).size();
  state.counters["left"] = static_cast<double>(left);
}

BENCHMARK_CAPTURE(Merge, nms, vision::MergeMethod::kNms)
    ->Arg(1000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Merge, nmm, vision::MergeMethod::kNmm)
    ->Arg(1000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Merge, greedy_nmm, vision::MergeMethod::kGreedyNmm)
    ->Arg(1000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);

BENCHMARK_CAPTURE(Merge, crowd_nmm, vision::MergeMethod::kNmm, true)
    ->Arg(1000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
