// What a config says of a network that its tensors don't show: activations, the batch norms' eps,
// and where the boxes' points are.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_NETWORK_SETTINGS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_NETWORK_SETTINGS_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <vector>

#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"

namespace detector {

// Of the backbone, the neck or the head. What the config's dict lacks is what the class that it
// names takes for it. Absent: the config has no such dict, or names a class that isn't known.
struct PartSettings {
  // As mmcv names it: "SiLU" (also for Swish), "ReLU", "LeakyReLU(0.1)", …, with what it takes.
  std::optional<std::string> activation;
  std::optional<double> bn_eps;
  // Concerns trainings alone, and so is not checked here; -1 if it isn't a number.
  std::optional<double> bn_momentum;
};

struct NetworkSettings {
  PartSettings backbone;
  PartSettings neck;
  PartSettings head;
  // Of the neck's blocks, where they have their own (YOLOv6).
  std::optional<std::string> block_activation;
  // Where in its cell a cell's point is, in strides. Absent: as the family has it.
  std::optional<double> point;
  // The class that decodes boxes; "": as the family has it.
  std::string box_coder;
};

// FailedPrecondition, naming the key, for values that no supported network has. `rule`: of which
// project the model is. What isn't known is appended to `warnings` (may be null).
absl::StatusOr<NetworkSettings> ReadNetworkSettings(const PythonConfig& config,
                                                    PostprocessRule rule,
                                                    std::vector<std::string>* warnings = nullptr);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_NETWORK_SETTINGS_H_
