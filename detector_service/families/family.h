// Finds the family of detectors that a checkpoint is of, by its tensors' names, and loads it.
//
// RTMDet is written by hand (rtmdet/). Every other family is a row of a table (family.cc): the
// tensor that only it has, its blueprint (networks.h), and its settings where the config of the
// training says nothing. What is not supported is a row too, so that the error can name it.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_

#include <absl/status/statusor.h>

#include <string>
#include <variant>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/blueprint/blueprint_module.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"
#include "detector_service/rtmdet/rtmdet.h"
#include "nn/state_dict.h"

namespace detector {

// The plain modules of a detector. Copies share them.
using DetectorModules = std::variant<Rtmdet, BlueprintModule>;

struct LoadedDetector {
  std::string name;           // "yolov8-s"; without the size if it is no official one
  DetectorSettings defaults;  // those of the official configs
  HeadLayout head;            // of the modules' outputs
  DetectorModules modules;
};

// Builds what `state_dict` holds and loads it, in eval mode. FailedPrecondition, saying what it
// holds or what does not fit, if it is not supported. `training` is the config in the checkpoint
// (may be empty): anchors, the batch norms' eps and the activations are in no tensor. What of it
// isn't known is appended to `warnings` (may be null).
absl::StatusOr<LoadedDetector> LoadDetector(const checkpoint::StateDict& state_dict,
                                            const PythonConfig& training,
                                            nn::Memory memory = nn::Memory::kCopy,
                                            std::vector<std::string>* warnings = nullptr);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_
