// From the network's raw output to detections, as mmdet does it: every (cell, class) pair above the
// threshold is a candidate; overlapping ones of a class lose to the best.
//
// Source: mmdet/models/dense_heads/{base_dense_head,rtmdet_head}.py, mmcv/ops/nms.py.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_

#include <array>
#include <span>
#include <vector>

#include "detector_service/inference/preprocess.h"
#include "detector_service/model/rtmdet_config.h"
#include "vision/geometry.h"

namespace detector {

// One level's output, cells in row-major order. The memory is the network's.
struct RawLevel {
  vision::Size grid;
  std::span<const float> logits;     // [cells, num_classes]
  std::span<const float> distances;  // [cells, 4]: left, top, right, bottom in input pixels
};
// At kStrides.
struct RawOutput {
  int num_classes = 0;
  std::array<RawLevel, kLevels> levels;
};

struct Detection {
  vision::Box box;  // pixels of the picture
  float score = 0;  // [0, 1]
  int class_id = 0;
};

struct PostprocessOptions {
  double score_threshold = 0.5;  // scores must be greater
  int nms_pre = 30000;           // candidates per level that enter NMS, best first
  double min_bbox_size = 0;      // width and height in the picture must be greater
  double nms_iou_threshold = 0.65;
  int max_detections = 300;
  // False: boxes may reach past the picture (never past the padded input); true: they are clipped
  // to it, and those that lie outside are dropped.
  bool clip_to_image = true;
  // Classes to look for, indexed by class id; empty: all.
  std::vector<bool> wanted_classes;
};

// Best score first; ties in the order of level, cell, class.
std::vector<Detection> Postprocess(const RawOutput& output, const Placement& placement,
                                   vision::Size input_size, const PostprocessOptions& options);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_
