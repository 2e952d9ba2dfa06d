// COCO's average precision and recall, equal to those of pycocotools' COCOeval, if the data set has
// its boxes as they are written (dataset/coco_reader.h).
#ifndef DUET_TRAINER_EVALUATE_COCO_SCORES_H_
#define DUET_TRAINER_EVALUATE_COCO_SCORES_H_

#include <optional>
#include <vector>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"

namespace trainer {

// COCOeval.stats. None where there is no object to be found, for which COCOeval says -1.
struct CocoScores {
  using Score = std::optional<double>;
  // Mean average precision over IoU 0.5 to 0.95; at 0.5 and 0.75; of objects below 32 x 32, up to
  // 96 x 96 and above. At most 100 detections an image and class.
  Score ap, ap50, ap75, ap_small, ap_medium, ap_large;
  // Recall over IoU 0.5 to 0.95, with at most 1, 10 and 100 detections an image and class; and of
  // the three areas.
  Score ar1, ar10, ar100, ar_small, ar_medium, ar_large;
};

struct CocoEvaluation {
  CocoScores all;                    // means of the classes that have one
  std::vector<CocoScores> by_class;  // by class index
};

// Objects without a mask can't be found if masks are compared, as in pycocotools. An object's area
// is dataset::Object::area for boxes and masks alike, a detection's that of what is compared.
// REQUIRES: as many lists as samples; class indices are those of `truth.classes`; scores and boxes
// are finite.
CocoEvaluation EvaluateCoco(const dataset::Dataset& truth, const DetectionsByImage& detections,
                            IouType type);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_COCO_SCORES_H_
