// What programs read of an evaluation.
#ifndef DUET_TRAINER_EVALUATE_EVALUATION_REPORT_H_
#define DUET_TRAINER_EVALUATE_EVALUATION_REPORT_H_

#include <boost/json/object.hpp>
#include <cstddef>

#include "dataset/sample.h"
#include "trainer/evaluate/coco_scores.h"
#include "trainer/evaluate/detection.h"

namespace trainer {

// {"ap": 0.5, "ap50": …, "ap75": …, "ap_small": …, …, "ar1": …, "ar10": …, "ar100": …, …}; null
// where there is no object.
boost::json::object ToJson(const CocoScores& scores);

// {"images": 70, "objects": 950, "boxes": {"all": {…}, "by_class": {"cat": {…}, …}}, "masks": {…},
// "best_f1": {"score_threshold": …, "precision": …, "recall": …, "f1": …},
// "worst_images": [{"image": "a.jpg", "missed": 2, "false_alarms": 1}, …]}.
// "masks" only if objects and detections have any. F1 and the at most `worst` worst images are of
// boxes. REQUIRES: as EvaluateCoco.
boost::json::object EvaluationReport(const dataset::Dataset& truth,
                                     const DetectionsByImage& detections, std::size_t worst);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_EVALUATION_REPORT_H_
