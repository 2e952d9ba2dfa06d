// What RTMDet and RTMDet-Ins minimise (mmdet/models/dense_heads/rtmdet_{,ins_}head.py,
// loss_by_feat): quality focal loss on classes, GIoU loss on boxes, both weighted by how well the
// assigned prediction already fits, and dice loss on masks.
#ifndef DUET_TRAINER_DETECTOR_DETECTOR_LOSSES_H_
#define DUET_TRAINER_DETECTOR_DETECTOR_LOSSES_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/detector/assigner.h"
#include "trainer/samples/image_source.h"

namespace trainer {

// Of the official configs.
struct LossWeights {
  double classes = 1;
  double boxes = 2;
  double masks = 2;
};

// Scalars, weighted, with gradients.
struct DetectorLosses {
  at::Tensor classes;
  at::Tensor boxes;
  at::Tensor masks;  // undefined without masks (HeadKind::kBoxes)
};

// Of each image, for every prior (cells row-major, levels from fine to coarse) the object that it
// learns: an index into objects[i]. As for ComputeLosses.
std::vector<std::vector<Assignment>> AssignObjects(
    const detector::HeadOutput& output, const std::vector<std::vector<TrainingObject>>& objects);

// Of a batch; objects[i] are those of image i, in input pixels; at most as many lists as images, of
// which the rest has no objects. Those that are `ignored` count for nothing: not as objects, and
// what is predicted there is background, as in mmdet, whose RTMDet hands its assigner the crowd
// regions and whose assigner does not look at them. A box without an inside is an object that no
// prediction fits. The losses of classes and boxes are sums over the batch, divided by the sum of
// the assigned IoUs; the loss of masks is the mean over the assigned priors.
//
// REQUIRES: class indices below the head's number of classes; finite predictions; for
// HeadKind::kInstances masks of the size of the input.
DetectorLosses ComputeLosses(const detector::HeadOutput& output,
                             const std::vector<std::vector<TrainingObject>>& objects,
                             const LossWeights& weights = {}, const AssignerOptions& assigner = {});

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_DETECTOR_LOSSES_H_
