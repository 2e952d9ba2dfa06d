// What a detector needs to know beyond its weights: how a picture becomes its input and how its raw
// output becomes boxes. Read from the mmengine config that training wrote into the checkpoint;
// without one, the values of mmdet's official RTMDet configs.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_

#include <absl/status/statusor.h>

#include <array>
#include <string>

#include "detector_service/config/python_literal.h"
#include "vision/geometry.h"

namespace detector {

struct DetectorSettings {
  // Input. The picture is scaled, keeping its ratio, to fit input_size, and padded at the right and
  // bottom.
  vision::Size input_size = {640, 640};
  int pad_value = 114;  // on all channels, 0 to 255
  std::array<float, 3> mean = {103.53F, 116.28F,
                               123.675F};  // in the order of the network's channels
  std::array<float, 3> std = {57.375F, 57.12F, 58.395F};
  bool bgr_to_rgb = false;  // the network wants RGB; pictures are BGR

  // Output, see postprocess.h.
  double score_threshold =
      0.001;  // the checkpoint's, made for evaluation; the service's default is a flag
  int nms_pre = 30000;
  double min_bbox_size = 0;
  double nms_iou_threshold = 0.65;
  int max_per_img = 300;

  // Every value that changes answers, as short text; part of the model's version.
  std::string Fingerprint() const;
};

// From a config's `model`, `test_pipeline` (or the validation data set's pipeline). Values that are
// absent keep their default. FailedPrecondition, naming the key, for values that are of the wrong
// type or range, or that ask for something the service does not do.
absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
