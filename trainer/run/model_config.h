// The mmengine config of a fine-tuned model: the network, the data sets, the test. What trains it
// is behind that (training_config.h).
#ifndef DUET_TRAINER_RUN_MODEL_CONFIG_H_
#define DUET_TRAINER_RUN_MODEL_CONFIG_H_

#include <absl/status/statusor.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "detector_service/rtmdet/rtmdet_config.h"
#include "vision/geometry.h"

namespace trainer {

// The config of an RTMDet of boxes in mmdet's naming, as the official ones are, whose images are
// scaled and padded to `input_size`. InvalidArgument for other networks, and for channels and
// blocks that no factors of CSPNeXt give.
absl::StatusOr<std::string> WriteModelConfig(const detector::RtmdetConfig& network,
                                             vision::Size input_size);

struct ModelConfigChanges {
  std::vector<std::string> classes;
  std::vector<std::array<int, 3>> palette;  // one a class
  std::string revision;                     // of the data, below the folder data/
  // What the pipeline that it is tested with scales images to; absent: as it is.
  std::optional<vision::Size> input_size;
};

// `source`, the config in the checkpoint that the model was made of, with lines behind it that
// change what is different now: the number of classes, the data, the test pipeline's size. All else
// stays, so that mmdet builds the very network that was trained. What an earlier fine-tuning added
// is replaced. Without a config (""), one is written for `network`, of mmdet's naming.
//
// init_detector and tools/test.py take it as it is; relative to the run's folder, its datasets are
// the frozen ones.
//
// InvalidArgument, saying why, if the source has no `model` to change, or no test pipeline.
absl::StatusOr<std::string> FineTunedConfig(const std::string& source,
                                            const detector::RtmdetConfig& network,
                                            const ModelConfigChanges& changes);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_MODEL_CONFIG_H_
