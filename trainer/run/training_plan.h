// How a model is fine-tuned, chosen by how much there is to learn from.
#ifndef DUET_TRAINER_RUN_TRAINING_PLAN_H_
#define DUET_TRAINER_RUN_TRAINING_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>

namespace trainer {

// What the user said; 0 and absent: as the plan has it.
struct PlanChoices {
  int epochs = 0;
  std::optional<int> plain_epochs;  // at most as many as there are epochs count
  int batch = 0;
  double learning_rate = 0;
  double new_class_learning_rate = 0;
  std::optional<int> frozen_stages;
};

struct TrainingPlan {
  const char* name = "";  // "small" or "large"
  int epochs = 0;         // passes over the training images
  int plain_epochs = 0;   // the last so many without mosaic and mixup
  // The last so many, in which the training may end early: the plain ones, at most an eighth unless
  // the user said how many; without any, those with a falling learning rate. Before them AP is not
  // what it is going to be.
  int patient_epochs = 0;
  int batch = 0;  // images a step
  int steps_per_epoch = 0;
  double learning_rate = 0;  // the highest
  // Of the classifier's rows of classes that begin from nothing, the highest.
  double new_class_learning_rate = 0;
  int warmup_steps = 0;
  double final_share = 0.05;  // of the learning rate, at the end
  int frozen_stages = -1;     // mmdet's: -1 none, 0 the backbone's stem, 4 all of the backbone
  int evaluate_every = 1;     // epochs
  // Upstream's dynamic_intervals, for large sets: from the end of the epoch before the plain ones
  // on, each is measured.
  bool evaluate_each_plain = false;
  double average_momentum = 0.0002;
  double average_gamma = 2000;

  std::int64_t steps() const { return std::int64_t{epochs} * steps_per_epoch; }
  // Whether the model is measured after so many epochs.
  bool EvaluatesAfter(std::int64_t epoch) const;
  // After how many steps an AP that isn't better begins to count for an early end.
  std::int64_t patience_from() const {
    return std::int64_t{epochs - patient_epochs} * steps_per_epoch;
  }
};

// What a training may have: the learning rates of its steps are kept in memory.
inline constexpr std::int64_t kMostSteps = 100'000'000;

// Up to 10,000 training images: what MMDetection's guide does with its 144 images of a cat
// (40 epochs, the last 5 plain, learning rate 0.004 · batch / 256, 30 steps of warm-up, the whole
// backbone frozen). With fewer images an epoch is shorter, so there are more of them: as many steps
// as there; and a larger share of them is plain, up to a half of them with 36 images and fewer,
// since mosaics of few images soon show nothing new. Rows of new classes learn at 0.004, RTMDet's
// rate for training from nothing: at the rate of fine-tuning they would hardly move in so few
// steps, since AdamW bounds each of them. Beyond that: RTMDet's own schedule for COCO (300 epochs,
// the last 20 plain, 1000 steps of warm-up, nothing frozen, 0.004 · batch / 256).
// REQUIRES: images > 0.
TrainingPlan ChoosePlan(std::size_t images, const PlanChoices& choices);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_PLAN_H_
