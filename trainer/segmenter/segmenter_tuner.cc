#include "trainer/segmenter/segmenter_tuner.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>
#include <c10/util/string_utils.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "trainer/optimization/adamw.h"
#include "trainer/scenes/scene.h"
#include "trainer/segmenter/prompt_rounds.h"

namespace trainer {
namespace {

// Where the optimizer keeps a parameter's state.
std::string KeyOf(const at::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

at::Tensor CountTensor(std::int64_t count) { return at::scalar_tensor(count, at::kLong); }

// FailedPrecondition if the state doesn't have it in this shape.
absl::StatusOr<at::Tensor> Fetch(const checkpoint::StateDict& state, const std::string& name,
                                 const at::Tensor& like) {
  const checkpoint::TensorView* const view = checkpoint::Find(state, name);
  if (view == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the training's state has no ", name));
  }
  if (view->shape != like.sizes().vec()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the training's state has ", name, " of shape ", nn::ShapeString(view->shape),
                     "; this training's is ", nn::ShapeString(like.sizes().vec())));
  }
  return nn::ToTensor(*view);
}

double NormOf(const std::vector<StateTensor>& parameters) {
  double sum = 0;
  for (const StateTensor& parameter : parameters) {
    if (!parameter.tensor.grad().defined()) continue;
    const double norm = parameter.tensor.grad().norm().item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

// So many of the masks, drawn at random.
std::vector<cv::Mat> Drawn(std::vector<cv::Mat> masks, int most, Random& random) {
  const std::size_t count = std::min(masks.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(masks[i], masks[i + random.Next() % (masks.size() - i)]);
  }
  masks.resize(count);
  return masks;
}

}  // namespace

SegmenterTuner::SegmenterTuner(std::shared_ptr<PromptedDecoder> decoder,
                               const TuningOptions& options)
    : decoder_(std::move(decoder)),
      options_(options),
      trained_(StateOf(*decoder_)),
      optimizer_(MakeAdamW(*decoder_, options.weight_decay)),
      average_(*decoder_, options.average) {
  std::erase_if(trained_, [](const StateTensor& entry) { return !entry.tensor.requires_grad(); });
}

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
    report.gradient_norm = NormOf(trained_);
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

checkpoint::StateDict SegmenterTuner::TakeState() const {
  checkpoint::StateDict taken;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    taken.emplace_back(name, *nn::ToTensorView(tensor.detach().clone()));
  };
  for (const StateTensor& entry : trained_) {
    add("weights." + entry.name, entry.tensor);
    const auto found = optimizer_.state().find(KeyOf(entry.tensor));
    if (found == optimizer_.state().end()) continue;
    const auto& moments = static_cast<const torch::optim::AdamWParamState&>(*found->second);
    add("optimizer_steps." + entry.name, CountTensor(moments.step()));
    add("first_moment." + entry.name, moments.exp_avg());
    add("second_moment." + entry.name, moments.exp_avg_sq());
  }
  for (const StateTensor& entry : average_.state()) add("average." + entry.name, entry.tensor);
  add("step", CountTensor(step_));
  add("average_updates", CountTensor(average_.updates()));
  return taken;
}

absl::Status SegmenterTuner::GiveState(const checkpoint::StateDict& state) {
  return nn::CatchTorch("go on with a training", [&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
    absl::Status status;
    const auto plan = [&](const std::string& name, const at::Tensor& to) {
      absl::StatusOr<at::Tensor> from = Fetch(state, name, to);
      if (status.ok()) status = from.status();
      if (from.ok()) copies.emplace_back(to, *std::move(from));
    };
    at::Tensor step = CountTensor(0), updates = CountTensor(0);
    plan("step", step);
    plan("average_updates", updates);
    for (const StateTensor& entry : average_.state()) plan("average." + entry.name, entry.tensor);
    std::vector<std::unique_ptr<torch::optim::AdamWParamState>> moments(trained_.size());
    std::vector<at::Tensor> counts(trained_.size());
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      const StateTensor& entry = trained_[i];
      plan("weights." + entry.name, entry.tensor);
      if (checkpoint::Find(state, "optimizer_steps." + entry.name) == nullptr) continue;
      moments[i] = std::make_unique<torch::optim::AdamWParamState>();
      moments[i]->exp_avg(at::empty_like(entry.tensor));
      moments[i]->exp_avg_sq(at::empty_like(entry.tensor));
      plan("optimizer_steps." + entry.name, counts[i] = CountTensor(0));
      plan("first_moment." + entry.name, moments[i]->exp_avg());
      plan("second_moment." + entry.name, moments[i]->exp_avg_sq());
    }
    if (!status.ok()) return status;
    for (auto& [to, from] : copies) to.copy_(from);
    step_ = step.item<std::int64_t>();
    average_.set_updates(updates.item<std::int64_t>());
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      optimizer_.state().erase(KeyOf(trained_[i].tensor));
      if (moments[i] == nullptr) continue;
      moments[i]->step(counts[i].item<std::int64_t>());
      optimizer_.state()[KeyOf(trained_[i].tensor)] = std::move(moments[i]);
    }
    return absl::OkStatus();
  });
}

}  // namespace trainer
