// Trains RTMDet on images with known boxes, as mmdet does: quality focal loss on classes, 2 ·
// GIoU loss on boxes, both weighted by how well the assigned prediction already fits
// (mmdet/models/dense_heads/rtmdet_head.py, loss_by_feat); AdamW, flat then cosine; the moving
// average of the weights is the result.
#ifndef DUET_TRAINER_DETECTOR_TRAINER_H_
#define DUET_TRAINER_DETECTOR_TRAINER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/assigner.h"
#include "trainer/optimization.h"
#include "trainer/scene_source.h"

namespace trainer {

struct DetectorTraining {
  FlatCosineSchedule schedule;
  // Side of the square input. REQUIRES: the longer side of every image is as long; the rest of the
  // input is padded.
  int input_size = 256;
  int images_per_replica = 4;
  int replicas = 4;
  double weight_decay = 0.05;
  double max_gradient_norm = 35;
  double average_momentum = 0.002;
  double average_gamma = 200;
};

// Leaves the averaged weights in `detector`, in eval mode. Throws c10::Error.
void TrainDetector(const DetectorTraining& training, const SceneSequence& scenes,
                   detector::Rtmdet& detector);

struct DetectorLoss {
  at::Tensor classes;
  at::Tensor boxes;
};

// Of a batch; `objects[i]` are those of image i, in input pixels. Both losses are sums over the
// batch divided by the sum of the assigned IoUs.
DetectorLoss LossOf(const detector::HeadOutput& output,
                    const std::vector<std::vector<LabelledBox>>& objects);

// The mmengine config that makes mmdet, and detector_service, treat images as this trainer does.
std::string DetectorConfigText(const DetectorTraining& training, double widen, double deepen,
                               int num_classes);

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_TRAINER_H_
