#include "trainer/run/training_plan.h"

#include <algorithm>
#include <cmath>

#include "trainer/augment/batch_loader.h"

namespace trainer {
namespace {

// RTMDet's for training from nothing.
constexpr double kRateFromNothing = 0.004;
constexpr std::size_t kMostOfSmall = 10'000;
constexpr int kExampleImages = 144;
constexpr int kExampleEpochs = 40;
// A model is measured so often at least, if there are so many epochs; of a large set as upstream.
constexpr int kEvaluationsOfSmall = 40;
constexpr int kEvaluationsOfLarge = 30;

int DivideUp(int value, int by) { return (value + by - 1) / by; }

// An eighth in the guide, a fifteenth for COCO; none of a single epoch. With fewer images than the
// guide's the share grows as they get fewer, up to a half.
int PlainEpochs(int epochs, int images, bool small) {
  if (epochs == 1) return 0;
  if (!small) return DivideUp(epochs, 15);
  const double share = std::clamp(kExampleImages / 8.0 / images, 1.0 / 8, 1.0 / 2);
  return static_cast<int>(std::ceil(epochs * share));
}

}  // namespace

TrainingPlan ChoosePlan(std::size_t images, const PlanChoices& choices) {
  const bool small = images <= kMostOfSmall;
  const int count = static_cast<int>(images);
  TrainingPlan plan{.name = small ? "small" : "large"};
  plan.batch = choices.batch > 0 ? choices.batch : small ? 4 : 32;
  plan.steps_per_epoch = static_cast<int>(BatchesPerEpoch(images, plan.batch));
  if (choices.epochs > 0) {
    plan.epochs = choices.epochs;
  } else if (small) {
    plan.epochs = std::max(kExampleEpochs, DivideUp(kExampleImages * kExampleEpochs, count));
  } else {
    plan.epochs = 300;
  }
  plan.plain_epochs = PlainEpochs(plan.epochs, count, small);
  plan.patient_epochs = std::min(plan.plain_epochs, DivideUp(plan.epochs, 8));
  if (choices.plain_epochs.has_value()) {
    plan.plain_epochs = std::min(*choices.plain_epochs, plan.epochs);
    plan.patient_epochs = plan.plain_epochs;
  }
  if (plan.plain_epochs == 0) plan.patient_epochs = plan.epochs - plan.epochs / 2;
  plan.learning_rate =
      choices.learning_rate > 0 ? choices.learning_rate : kRateFromNothing * plan.batch / 256;
  if (choices.new_class_learning_rate > 0) {
    plan.new_class_learning_rate = choices.new_class_learning_rate;
  } else {
    plan.new_class_learning_rate =
        small ? std::max(kRateFromNothing, plan.learning_rate) : plan.learning_rate;
  }
  plan.warmup_steps = static_cast<int>(
      std::min<std::int64_t>(small ? 30 : 1000, std::max<std::int64_t>(1, plan.steps() / 4)));
  plan.frozen_stages = choices.frozen_stages.value_or(small ? 4 : -1);
  plan.evaluate_every =
      std::max(1, plan.epochs / (small ? kEvaluationsOfSmall : kEvaluationsOfLarge));
  plan.evaluate_each_plain = !small;
  return plan;
}

bool TrainingPlan::EvaluatesAfter(std::int64_t epoch) const {
  if (evaluate_each_plain && plain_epochs > 0 && epoch + 1 >= epochs - plain_epochs) return true;
  return epoch % evaluate_every == 0 || epoch == epochs;
}

}  // namespace trainer
