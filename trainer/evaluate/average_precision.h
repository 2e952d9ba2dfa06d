// Average precision as COCO computes it (pycocotools' COCOeval): detections in order of score take
// the object of their class and image that they overlap most and that is still free; precision is
// made non-increasing and read at 101 recalls from 0 to 1.
#ifndef DUET_TRAINER_EVALUATE_AVERAGE_PRECISION_H_
#define DUET_TRAINER_EVALUATE_AVERAGE_PRECISION_H_

#include <map>
#include <vector>

#include "vision/geometry.h"

namespace trainer {

// A box of one image: an object (score unused) or a detection.
struct ClassBox {
  vision::Box box;
  int class_id = 0;
  float score = 0;
};

struct AveragePrecision {
  // Over the classes that have objects; 0 if there are none.
  double mean = 0;
  std::map<int, double> by_class;
};

// `detections[i]` and `objects[i]` belong to image i. A detection counts if its IoU is at least
// `min_iou`. REQUIRES: as many images in both.
AveragePrecision ComputeAveragePrecision(const std::vector<std::vector<ClassBox>>& detections,
                                         const std::vector<std::vector<ClassBox>>& objects,
                                         float min_iou);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_AVERAGE_PRECISION_H_
