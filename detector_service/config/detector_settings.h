// What a detector needs beyond its weights: how an image becomes its input and how its raw output
// becomes boxes. Read from the mmengine config that training wrote into the checkpoint;
// without one, the values of the official configs of the model's family (here: mmdet's RTMDet).
#ifndef DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_

#include <absl/status/statusor.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "detector_service/config/python_config.h"
#include "vision/geometry.h"
#include "vision/imagenet.h"

namespace detector {

// How an image is scaled; what it does not cover of the input is padding.
enum class Resize {
  // Not at all.
  kNone,
  // mmdet's Resize with keep_ratio, and Pad: sides rounded half up, the image at the top left.
  kFit,
  // mmyolo's YOLOv5KeepRatioResize and LetterResize: averaged when shrinking, bilinear when
  // enlarging, sides truncated, the image in the middle.
  kLetterbox,
  // mmdet's FixShapeResize, or Resize without keep_ratio: to just this size, whatever the ratio.
  kStretch,
};

// How pixels are computed where kFit or kStretch resizes (OpenCV's names).
enum class Interpolation { kNearest, kBilinear, kBicubic, kArea, kLanczos };

// The longest side of an input.
inline constexpr int kMaxInputSide = 4096;

// Whose order of steps from raw output to boxes is followed; they differ in details
// (postprocess.h).
enum class PostprocessRule { kMmdet, kMmyolo };

struct DetectorSettings {
  // Input.
  Resize resize = Resize::kFit;
  // What an image is scaled to, as Resize says. That is the input's size, too, unless there is more
  // to pad; preprocess.h has each image's.
  vision::Size input_size = {640, 640};
  // Padding at the right and bottom: at least to this size (kLetterbox: all around, to just this
  // size). Absent: to input_size; {0, 0}: none.
  std::optional<vision::Size> pad_size;
  bool pad_to_square = false;
  int pad_multiple = 1;  // then to multiples of this
  // kLetterbox: an image that lies in the padded size after the first resize may grow to fill it.
  bool letterbox_may_grow = false;
  // What the data preprocessor pads: to multiples of this, with a value that is not normalised.
  int batch_multiple = 1;
  float batch_pad_value = 0;
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

  vision::Size pad_to() const { return pad_size.value_or(input_size); }

  // Every value that changes answers, as short text; part of the model's version.
  std::string Fingerprint() const;
};

// From a config's `model` and the pipeline that it tests with. A dict that the config lacks is as
// `defaults`, the model family's, have it; a key that a dict lacks is what mmdet or mmyolo take for
// it. FailedPrecondition, naming the key, for values that are opaque, of the wrong type or out of
// range, or that ask for something the service does not do. What it doesn't follow without refusing
// is appended to `warnings` (may be null), a sentence each.
//
// `input_size` takes the place of the pipeline's sizes: images are scaled to fit it, then padded to
// it and to multiples of 32. A pipeline that can't be followed is then a warning, and the steps are
// those of `defaults`.
absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config,
                                              const DetectorSettings& defaults = {},
                                              std::vector<std::string>* warnings = nullptr,
                                              std::optional<vision::Size> input_size = {});

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_DETECTOR_SETTINGS_H_
