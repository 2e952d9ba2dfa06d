// What a checkpoint's config says of how its network learns: losses, the assigner, norm_eval. The
// rest of a training (data, optimizer, epochs) is chosen by whoever trains.
#ifndef DUET_TRAINER_DETECTOR_LEARNING_SETTINGS_H_
#define DUET_TRAINER_DETECTOR_LEARNING_SETTINGS_H_

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "detector_service/config/python_config.h"
#include "trainer/detector/assigner.h"
#include "trainer/detector/detector_losses.h"

namespace trainer {

struct LearningSettings {
  LossWeights loss_weights;
  AssignerOptions assigner;
  // The backbone's batch norms keep their running statistics and normalise with them.
  bool norm_eval = false;
};

// The official configs' where `config` has no loss and no assigner; where it has one, that one's
// class decides what it doesn't mention, as in mmdet. FailedPrecondition, naming the key, for
// losses and assigners that can't be trained with here. Keys that aren't known are appended to
// `warnings` (may be null).
absl::StatusOr<LearningSettings> ReadLearningSettings(const detector::PythonConfig& config,
                                                      std::vector<std::string>* warnings = nullptr);

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_LEARNING_SETTINGS_H_
