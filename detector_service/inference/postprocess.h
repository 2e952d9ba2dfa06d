// From the network's raw output to detections: every (box, class) pair above the threshold is a
// candidate; of those of a class that overlap, the best is kept. Masks are drawn for what is left.
// The two projects differ in details:
//
//                      mmdet                                mmyolo
//   nms_pre counts     the candidates of each level         those of all levels together
//   boxes are clamped  before NMS, to the padded image      after NMS, to the image
//                      (rotated boxes: never, in both)
//   to the image       times the scale's reciprocal         minus the padding, over the scale
//
// Sources: mmdet/models/dense_heads/{base_dense_head,rtmdet_head}.py, mmcv/ops/nms.py,
// mmrotate/models/dense_heads/rotated_rtmdet_head.py,
// mmyolo/models/dense_heads/{yolov5_head,rtmdet_rotated_head}.py.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_

#include <optional>
#include <vector>

#include "detector_service/inference/preprocess.h"
#include "detector_service/inference/raw_output.h"
#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace detector {

// In pixels of the image.
struct Detection {
  vision::Box box;  // of a rotated detection: around rotated_box
  float score = 0;  // [0, 1]
  int class_id = 0;
  std::optional<vision::RotatedBox> rotated_box;
  std::optional<vision::Mask> mask;  // may be empty: then no pixel was sure enough
};

struct PostprocessOptions {
  PostprocessRule rule = PostprocessRule::kMmdet;
  double score_threshold = 0.5;  // scores must be greater
  // A box is a candidate for all its classes, not only for the best.
  bool multi_label = true;
  // Candidates that enter NMS, best first; negative: all but so many of the last.
  int nms_pre = 30000;
  // Width and height in the image must be greater; negative: any, even inverted boxes.
  double min_bbox_size = 0;
  double nms_iou_threshold = 0.65;
  // A box suppresses those of other classes too, while there are fewer than nms_split_threshold.
  bool class_agnostic = false;
  int nms_split_threshold = 10000;  // from so many boxes on, each class is suppressed by itself
  int max_detections = 300;
  // True: boxes are clipped to the image, and those that lie outside are dropped. False: as the
  // rule leaves them. Rotated boxes keep their shape, only the boxes around them are clipped.
  bool clip_to_image = true;
  // Classes to look for, indexed by class id; empty: all.
  std::vector<bool> wanted_classes;
  bool draw_masks = true;       // where the output has mask features
  double mask_threshold = 0.5;  // probabilities must be greater
};

// Best score first; ties in the order of level, cell, class.
std::vector<Detection> Postprocess(const RawOutput& output, const Placement& placement,
                                   const PostprocessOptions& options);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_POSTPROCESS_H_
