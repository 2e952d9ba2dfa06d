// How a model is fine-tuned, chosen by how much there is to learn from.
#ifndef DUET_TRAINER_RUN_TRAINING_PLAN_H_
#define DUET_TRAINER_RUN_TRAINING_PLAN_H_

#include <cstddef>
#include <optional>

namespace trainer {

// What the user said; 0 and absent: as the plan has it.
struct PlanChoices {
  int epochs = 0;
  std::optional<int> plain_epochs;  // at most as many as there are epochs count
  int batch = 0;
  double learning_rate = 0;
  std::optional<int> frozen_stages;
};

struct TrainingPlan {
  const char* name = "";  // "small" or "large"
  int epochs = 0;         // passes over the training images
  int plain_epochs = 0;   // the last so many without mosaic and mixup
  int batch = 0;          // images a step
  int steps_per_epoch = 0;
  double learning_rate = 0;  // the highest
  int warmup_steps = 0;
  double final_share = 0.05;  // of the learning rate, at the end
  int frozen_stages = -1;     // mmdet's: -1 none, 0 the backbone's stem, 4 all of the backbone
  int evaluate_every = 1;     // epochs
  double average_momentum = 0.0002;
  double average_gamma = 2000;

  int steps() const { return epochs * steps_per_epoch; }
  // The first step that is of the plain epochs.
  int first_plain_step() const { return (epochs - plain_epochs) * steps_per_epoch; }
};

// Up to 10,000 training images: what MMDetection's guide does with its 144 images of a cat
// (40 epochs, the last 5 plain, learning rate 0.004 · batch / 256, 30 steps of warm-up, the whole
// backbone frozen). With fewer images an epoch is shorter, so there are more of them: as many steps
// as there. Beyond that: RTMDet's own schedule for COCO (300 epochs, the last 20 plain, 1000 steps
// of warm-up, nothing frozen, 0.004 · batch / 256).
// REQUIRES: images > 0.
TrainingPlan ChoosePlan(std::size_t images, const PlanChoices& choices);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_PLAN_H_
