// Which family a checkpoint is of, told by its tensors' names, and its network, loaded.
//
// A family is a row of a table (family.cc): the tensor that only it has, the network (networks.h),
// and what holds where the config of the training is silent. What is not supported is a row too, so
// that the error can name it.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_

#include <absl/status/statusor.h>

#include <string>

#include "checkpoint/checkpoint.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_literal.h"
#include "detector_service/model/blueprint_module.h"
#include "nn/state_dict.h"

namespace detector {

// Whether the names are of a network that LoadFamily knows, if only by name: of MMYOLO's families
// all but RTMDet.
bool IsOfFamily(const checkpoint::StateDict& state_dict);

struct FamilyModel {
  std::string name;           // "yolov8-s"; without the size if it is no official one
  DetectorSettings defaults;  // those of the official configs
  BlueprintModule module{nullptr};
};

// Builds what `state_dict` holds and loads it, in eval mode. FailedPrecondition, naming what it
// holds or what does not fit, if it is not supported. `training` is the config that the checkpoint
// brings (may be empty): anchors, the batch norms' eps and the activation are in no tensor.
absl::StatusOr<FamilyModel> LoadFamily(const checkpoint::StateDict& state_dict,
                                       const PythonConfig& training,
                                       nn::Memory memory = nn::Memory::kCopy);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_FAMILY_H_
