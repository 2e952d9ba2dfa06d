// What a detector needs to know beyond its weights: how a picture becomes its input and how its raw
// output becomes boxes. Read from the mmengine config that training wrote into the checkpoint;
// without one, the values of the official configs of the model's family (here: mmdet's RTMDet).
#ifndef DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_

#include <absl/status/statusor.h>

#include <array>
#include <string>

#include "detector_service/config/python_literal.h"
#include "vision/geometry.h"

namespace detector {

// How a picture is brought to the input's size; padding is what it leaves free.
enum class Resize {
  // mmdet's Resize and Pad: bilinear, sides rounded half up, the picture at the top left.
  kFit,
  // mmyolo's YOLOv5KeepRatioResize and LetterResize: averaged when shrinking, bilinear when
  // enlarging, sides truncated, the picture in the middle.
  kLetterbox,
  // mmdet's FixShapeResize: bicubic, to the very size of the input, whatever the ratio.
  kStretch,
};

// Whose order of steps from raw output to boxes is followed; they differ in details
// (postprocess.h).
enum class PostprocessRule { kMmdet, kMmyolo };

struct DetectorSettings {
  // Input.
  Resize resize = Resize::kFit;
  vision::Size input_size = {640, 640};
  int pad_value = 114;  // on all channels, 0 to 255
  std::array<float, 3> mean = {103.53F, 116.28F,
                               123.675F};  // in the order of the network's channels
  std::array<float, 3> std = {57.375F, 57.12F, 58.395F};
  bool bgr_to_rgb = false;  // the network wants RGB; pictures are BGR

  // Output, see postprocess.h.
  PostprocessRule rule = PostprocessRule::kMmdet;
  double score_threshold =
      0.001;  // the checkpoint's, made for evaluation; the service's default is a flag
  int nms_pre = 30000;
  double min_bbox_size = 0;  // negative: boxes of any size, even inverted ones
  double nms_iou_threshold = 0.65;
  int max_per_img = 300;
  bool multi_label = true;  // a box may be a candidate for several classes
  // mmyolo's name for: objectness is no filter of its own, and detections are not counted.
  bool yolox_style = false;
  double mask_threshold = 0.5;  // probability from which on a pixel belongs to a mask

  // Every value that changes answers, as short text; part of the model's version.
  std::string Fingerprint() const;
};

// From a config's `model`, `test_pipeline` (or the validation data set's pipeline). Values that are
// absent are those of `defaults`, the model family's. FailedPrecondition, naming the key, for
// values that are of the wrong type or range, or that ask for something the service does not do.
absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config,
                                              const DetectorSettings& defaults = {});

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
