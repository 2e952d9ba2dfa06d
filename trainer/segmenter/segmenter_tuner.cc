#include "trainer/segmenter/segmenter_tuner.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <opencv2/core/mat.hpp>
#include <string>
#include <utility>

#include "nn/torch_status.h"
#include "trainer/optimization/adamw.h"
#include "trainer/optimization/saved_state.h"
#include "trainer/scenes/scene.h"
#include "trainer/segmenter/prompt_rounds.h"

namespace trainer {
namespace {

// So many of the masks, drawn at random, as pixels: those of all objects of a large image together
// could take gigabytes.
std::vector<cv::Mat> Drawn(const std::vector<vision::Mask>& masks, int most, Random& random) {
  std::vector<const vision::Mask*> left;
  for (const vision::Mask& mask : masks) left.push_back(&mask);
  std::vector<cv::Mat> drawn;
  const std::size_t count = std::min(left.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(left[i], left[i + random.Next() % (left.size() - i)]);
    drawn.push_back(vision::ToPixels(*left[i]));
  }
  return drawn;
}

}  // namespace

SegmenterTuner::SegmenterTuner(std::shared_ptr<PromptedDecoder> decoder,
                               const TuningOptions& options)
    : decoder_(std::move(decoder)),
      options_(options),
      trained_(TrainedOf(*decoder_)),
      optimizer_(MakeAdamW(*decoder_, options.weight_decay)),
      average_(*decoder_, options.average) {}

double SegmenterTuner::LearningRate() const {
  if (step_ < options_.warmup_steps) {
    return options_.learning_rate * static_cast<double>(step_ + 1) /
           static_cast<double>(options_.warmup_steps);
  }
  const double done = static_cast<double>(step_ - options_.warmup_steps) /
                      static_cast<double>(options_.steps - options_.warmup_steps);
  return options_.learning_rate * (1 + std::cos(std::numbers::pi * done)) / 2;
}

void SegmenterTuner::Backward(const TuningImage& image, Random& random, double share,
                              TuningReport* report) {
  std::vector<cv::Mat> by_box, by_click;
  const std::vector<cv::Mat> masks = Drawn(image.masks, options_.objects_per_image, random);
  for (const cv::Mat& mask : masks) (random.Chance(0.5) ? by_box : by_click).push_back(mask);
  const std::vector<at::Tensor> maps = MapsOf(image.embedding.features);
  const int rounds = options_.corrections + 2;  // and two without a click
  for (const auto* group : {&by_box, &by_click}) {
    if (group->empty()) continue;
    const double weight = share * static_cast<double>(group->size()) /
                          static_cast<double>(masks.size()) / static_cast<double>(rounds + 1);
    PlayRounds(*decoder_, maps, image.embedding.geometry, *group, group == &by_box, rounds,
               random.Integer(0, rounds - 2), random, [&](const SamLosses& losses) {
                 (weight * losses.Total()).backward();
                 report->focal += weight * 20 * losses.focal.item<double>();
                 report->dice += weight * losses.dice.item<double>();
                 report->iou += weight * losses.iou.item<double>();
               });
  }
}

absl::StatusOr<TuningReport> SegmenterTuner::Step(std::span<const TuningImage> batch) {
  return nn::CatchTorch("learn", [&]() -> absl::StatusOr<TuningReport> {
    TuningReport report{.learning_rate = LearningRate()};
    Random random(SceneSeed(options_.seed, "prompts", static_cast<std::uint64_t>(step_)));
    for (StateTensor& parameter : trained_) parameter.tensor.mutable_grad() = at::Tensor();
    for (const TuningImage& image : batch) {
      Backward(image, random, 1.0 / static_cast<double>(batch.size()), &report);
    }
    report.gradient_norm = GradientNorm(trained_);
    ++step_;
    if (!std::isfinite(report.total()) || !std::isfinite(report.gradient_norm)) {
      return absl::OutOfRangeError(absl::StrCat("step ", step_, ": the loss is ", report.total(),
                                                ", the norm of the gradients ",
                                                report.gradient_norm));
    }
    SetLearningRate(optimizer_, report.learning_rate);
    optimizer_.step();
    average_.Update(*decoder_);
    return report;
  });
}

absl::Status SegmenterTuner::WithAverage(const std::function<absl::Status()>& use) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> kept;
  for (const StateTensor& entry : StateOf(*decoder_)) kept.push_back(entry.tensor.clone());
  average_.CopyTo(*decoder_);
  absl::Status status = use();
  std::vector<StateTensor> state = StateOf(*decoder_);
  for (std::size_t i = 0; i < state.size(); ++i) state[i].tensor.copy_(kept[i]);
  return status;
}

checkpoint::StateDict SegmenterTuner::ToStateDict() const {
  StateWriter taken;
  for (const StateTensor& entry : trained_) taken.Add("weights." + entry.name, entry.tensor);
  taken.Add(optimizer_, trained_);
  taken.Add(average_);
  taken.Add("step", step_);
  return taken.Take();
}

absl::Status SegmenterTuner::LoadStateDict(const checkpoint::StateDict& state) {
  return nn::CatchTorch("go on with a training", [&] {
    StateReader reader(state);
    reader.Read("step", &step_);
    reader.Read(average_);
    for (const StateTensor& entry : trained_) reader.Read("weights." + entry.name, entry.tensor);
    reader.Read(optimizer_, trained_);
    return reader.Apply();
  });
}

}  // namespace trainer
