// The part of a fine-tuned model's mmengine config that says how it was trained.
#ifndef DUET_TRAINER_RUN_TRAINING_CONFIG_H_
#define DUET_TRAINER_RUN_TRAINING_CONFIG_H_

#include <string>

#include "trainer/augment/recipe.h"
#include "trainer/run/training_plan.h"

namespace trainer {

struct TrainingConfigParts {
  const TrainingPlan& plan;
  const Recipe& recipe;
  int accumulation = 1;
  std::string revision;     // of the data, below the folder data/
  bool validation = false;  // there are images to measure with
  bool backbone = false;    // the config's model has a dict `backbone`
  // How many of the classes begin from nothing, and of how many: their rows have a learning rate of
  // their own, which MMDetection can be told for all rows only.
  int new_classes = 0;
  int classes = 0;
};

// Lines for the end of a config (model_config.h), which has a variable `metainfo`. With them
// MMDetection's runner trains from the same checkpoint with the same data as Duet did, with the
// pipelines, batch, epochs, learning rate, average and frozen stages of Duet. What the source's
// config says of a training is replaced.
//
// Masks are read with poly2mask=True, whatever the source has: a revision writes them as RLE, and
// without it mmdet ignores each object whose mask is RLE.
std::string TrainingConfig(const TrainingConfigParts& parts);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_CONFIG_H_
