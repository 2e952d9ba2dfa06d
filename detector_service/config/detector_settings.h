// What a detector needs beyond its weights: how an image becomes its input and how its raw output
// becomes boxes. Read from the mmengine config that training wrote into the checkpoint;
// without one, the values of the official configs of the model's family (here: mmdet's RTMDet).
#ifndef DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_

#include <absl/status/statusor.h>

#include <array>
#include <string>
#include <vector>

#include "detector_service/config/python_config.h"
#include "vision/geometry.h"
#include "vision/imagenet.h"

namespace detector {

// How an image is brought to the input's size; what it does not cover is padding.
enum class Resize {
  // mmdet's Resize and Pad: sides rounded half up, the image at the top left.
  kFit,
  // mmyolo's YOLOv5KeepRatioResize and LetterResize: averaged when shrinking, bilinear when
  // enlarging, sides truncated, the image in the middle.
  kLetterbox,
  // mmdet's FixShapeResize: to the very size of the input, whatever the ratio.
  kStretch,
};

// How pixels are computed where kFit or kStretch resizes (OpenCV's names).
enum class Interpolation { kNearest, kBilinear, kBicubic, kArea, kLanczos };

// Whose order of steps from raw output to boxes is followed; they differ in details
// (postprocess.h).
enum class PostprocessRule { kMmdet, kMmyolo };

struct DetectorSettings {
  // Input.
  Resize resize = Resize::kFit;
  vision::Size input_size = {640, 640};
  Interpolation interpolation = Interpolation::kBilinear;
  std::array<int, 3> pad_value = {114, 114, 114};  // BGR, 0 to 255 each
  // In the order of the network's channels.
  std::array<float, 3> mean = vision::ToBgr(vision::kImageNetMean);
  std::array<float, 3> std = vision::ToBgr(vision::kImageNetStd);
  bool bgr_to_rgb = false;  // the network takes RGB; images are BGR

  // Output, see postprocess.h.
  PostprocessRule rule = PostprocessRule::kMmdet;
  // The checkpoint's, made for evaluation; the service's default is a flag.
  double score_threshold = 0.001;
  // Negative: all but so many of the last, as Python slices. That is mmdet's -1.
  int nms_pre = 30000;
  double min_bbox_size = 0;  // negative: boxes of any size, even inverted ones
  double nms_iou_threshold = 0.65;
  // A box suppresses those of other classes too, while there are fewer than nms_split_threshold.
  bool class_agnostic = false;
  int nms_split_threshold = 10000;  // from so many boxes on, each class is suppressed by itself
  int max_per_img = 300;
  bool multi_label = true;  // a box may be a candidate for several classes
  // mmyolo's name for: objectness is no filter of its own, and detections are not counted.
  bool yolox_style = false;
  double mask_threshold = 0.5;  // probability from which on a pixel belongs to a mask

  // Every value that changes answers, as short text; part of the model's version.
  std::string Fingerprint() const;
};

// From a config's `model` and the pipeline that it tests with. A dict that the config lacks is as
// `defaults`, the model family's, have it; a key that a dict lacks is what mmdet or mmyolo take for
// it. FailedPrecondition, naming the key, for values that are opaque, of the wrong type or range,
// or that ask for something the service does not do. What it doesn't follow without refusing is
// appended to `warnings` (may be null), a sentence each.
absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config,
                                              const DetectorSettings& defaults = {},
                                              std::vector<std::string>* warnings = nullptr);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
