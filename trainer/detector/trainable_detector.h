// From a checkpoint to a network that learns a given list of classes.
#ifndef DUET_TRAINER_DETECTOR_TRAINABLE_DETECTOR_H_
#define DUET_TRAINER_DETECTOR_TRAINABLE_DETECTOR_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/detector/learning_settings.h"
#include "trainer/samples/class_match.h"

namespace trainer {

struct TrainableDetector {
  detector::Rtmdet network{nullptr};
  // The wanted classes that the checkpoint knew, those that begin from nothing, and those of the
  // checkpoint's that are given up.
  std::vector<std::string> kept;
  std::vector<std::string> added;
  std::vector<std::string> dropped;
  std::vector<int> new_rows;  // where those of `added` stand in the list
  // What its config says of learning, and what of that isn't understood, as sentences.
  LearningSettings learning;
  std::vector<std::string> warnings;
};

// A new network of this shape, whose batch norms have the config's eps and momentum (the classes of
// detector_service/rtmdet, made for inference, have PyTorch's). Drawn as upstream draws; inside
// nn::SkipInitialization left unset.
detector::Rtmdet MakeNetwork(const detector::RtmdetConfig& config);

// The network of an RTMDet or RTMDet-Ins of MMDetection with `classes` in place of the
// checkpoint's. All weights are the checkpoint's. In the last layer, which has a row for each class
// on each level, the row of a class is that of the checkpoint's class that `match` finds for it (by
// default the one with just this name), wherever it stood; a class that the checkpoint doesn't know
// begins as in mmdet's init_weights: normal(0,
// 0.01), drawn by `seed`, and a bias for a probability of 0.01. (mmdet itself, with another number
// of classes, begins all rows anew; with the same number it keeps them in their order whatever they
// are called.) The checkpoint's names are those of detector::ChooseClassNames.
//
// InvalidArgument: no classes, an empty name, a name twice. FailedPrecondition: another family,
// naming or head, a loss or an assigner that can't be trained with, or weights that don't fit.
absl::StatusOr<TrainableDetector> LoadForTraining(const checkpoint::Checkpoint& checkpoint,
                                                  const std::vector<std::string>& classes,
                                                  std::uint64_t seed,
                                                  const ClassMatch& match = ClassMatch());

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_TRAINABLE_DETECTOR_H_
