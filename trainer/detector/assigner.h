// Decides which priors are trained to predict which object: mmdet's DynamicSoftLabelAssigner, as
// RTMDet uses it.
//
// A prior is a candidate if it lies inside the box of any object. Of all candidates, each object
// takes the k cheapest, even an object whose box is too small to have one inside. k is the sum of
// the object's 13 best IoUs with the boxes predicted now, but at least 1: objects that are
// predicted well get more priors. The cost of a pair is
//   quality focal loss of the class against the IoU
//   + 3 · -ln IoU
//   + 10^(distance to the centre / stride - 3).
// A prior that several objects chose goes to the cheapest.
//
// Matches mmdet/models/task_modules/assigners/dynamic_soft_label_assigner.py (topk 13,
// soft_center_radius 3, iou_weight 3), and so do the names.
#ifndef DUET_TRAINER_DETECTOR_ASSIGNER_H_
#define DUET_TRAINER_DETECTOR_ASSIGNER_H_

#include <optional>
#include <span>
#include <vector>

#include "vision/geometry.h"

namespace trainer {

// A point of a feature level, in input pixels.
struct Prior {
  float x = 0;
  float y = 0;
  float stride = 0;
};

struct LabelledBox {
  vision::Box box;
  int class_id = 0;
  // Where the object is thought to be, if it isn't the box's middle: where objects have masks,
  // mmdet takes the mask's centre of mass.
  std::optional<vision::Point> centre = std::nullopt;
};

struct Assignment {
  // Index of the object, or -1: background.
  int object = -1;
  // IoU of the prior's predicted box with the object's; the soft label of its class. 0 for
  // background.
  float iou = 0;
};

struct AssignerOptions {
  int topk = 13;
  float soft_center_radius = 3;
  float iou_weight = 3;
};

// One assignment a prior. `predicted` has one box a prior; `logits` is [priors, classes],
// row-major. REQUIRES: sizes agree; class ids are below `classes`.
std::vector<Assignment> AssignDynamicSoftLabels(std::span<const Prior> priors,
                                                std::span<const vision::Box> predicted,
                                                std::span<const float> logits, int classes,
                                                std::span<const LabelledBox> objects,
                                                const AssignerOptions& options = {});

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_ASSIGNER_H_
