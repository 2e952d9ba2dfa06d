// COCO's results format, which MMDetection, pycocotools and most other tools write: a JSON list of
// detections {"image_id", "category_id", "score", "bbox": [x, y, width, height], "segmentation":
// {"size": [height, width], "counts": "…"}}.
#ifndef DUET_TRAINER_EVALUATE_COCO_RESULTS_H_
#define DUET_TRAINER_EVALUATE_COCO_RESULTS_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"

namespace trainer {

// `annotations`: the COCO file that `truth` was read from, for its category ids. Detections of
// categories that aren't among `truth.classes` are left out. A detection without "bbox" gets the
// box around its mask.
//
// InvalidArgument, naming the detection, if `results` is no such list, or if a detection has an
// unknown image or category, no score, neither box nor mask, or a damaged one.
absl::StatusOr<DetectionsByImage> ReadCocoResults(std::string_view results,
                                                  std::string_view annotations,
                                                  const dataset::Dataset& truth);

// The same list of `detections`, which ReadCocoResults reads; masks beside boxes where there are
// any. InvalidArgument, naming the class, if `annotations` has no category of it. REQUIRES: as
// EvaluateCoco.
absl::StatusOr<std::string> WriteCocoResults(const DetectionsByImage& detections,
                                             std::string_view annotations,
                                             const dataset::Dataset& truth);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_COCO_RESULTS_H_
