// Duet's side of the comparison in side_by_side.py: trains RTMDet-tiny on one batch again and again
// and answers each line with the milliseconds that an iteration took.
//   bench_trainer_turns [--threads=2] [--input_size=640] [--batch=4]
//     input lines: step full, step frozen (the whole backbone), memory (resident, MB).
#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "nn/compute_thread.h"
#include "nn/heap.h"
#include "nn/threads.h"
#include "tests/bench/turns.h"
#include "trainer/detector/detector_trainer.h"
#include "trainer/detector/trainable_detector.h"

namespace {

// Ten objects an image, from a 16th to two thirds of its side; the same as in side_by_side.py.
trainer::Batch MakeBatch(int images, int side) {
  trainer::Batch batch{.images = at::randn({images, 3, side, side})};
  for (int i = 0; i < images; ++i) {
    auto& objects = batch.objects.emplace_back();
    for (int o = 0; o < 10; ++o) {
      const float size = static_cast<float>(side) * (1 + static_cast<float>(o)) / 16;
      const float x = static_cast<float>((o * 37 + i * 11) % 100) / 100 * (side - size);
      const float y = static_cast<float>((o * 53 + i * 29) % 100) / 100 * (side - size);
      objects.push_back({.box = {x, y, x + size, y + size}, .class_index = o * 7 % 80});
    }
  }
  return batch;
}

absl::StatusOr<bench::Work> StepWork(const std::string& form, int images, int side) {
  at::manual_seed(1);
  trainer::DetectorTrainingOptions options{
      .schedule = {.base = 1e-4, .epochs = 1000, .iterations_per_epoch = 1000},
      .frozen_stages = form == "frozen" ? 4 : -1};
  auto made = trainer::DetectorTrainer::Make(
      trainer::MakeNetwork(detector::ScaledRtmdet(0.375, 0.167, 80)), options);
  if (!made.ok()) return made.status();
  return bench::Timed([trainer = std::shared_ptr<trainer::DetectorTrainer>(*std::move(made)),
                       batch = MakeBatch(images, side)] {
    absl::Status status;
    nn::RunOnComputeThread([&] { status = trainer->Step(batch).status(); });  // as duet-train does
    return status;
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, int> flags = {{"--threads", 2}, {"--input_size", 640}, {"--batch", 4}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    if (equals != std::string::npos && flags.contains(argument.substr(0, equals)))
      flags[argument.substr(0, equals)] = std::atoi(argument.c_str() + equals + 1);
  }
  nn::KeepFreedMemory();
  nn::UseThreads(flags["--threads"]);
  return bench::TakeTurns(
      [&](const std::string&, const std::string& form) {
        return StepWork(form, flags["--batch"], flags["--input_size"]);
      },
      flags["--threads"]);
}
