// Two detectors by what they found on the same annotated images.
#ifndef DUET_TRAINER_GATE_COMPARE_DETECTIONS_H_
#define DUET_TRAINER_GATE_COMPARE_DETECTIONS_H_

#include <boost/json/object.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"
#include "trainer/gate/paired_bootstrap.h"
#include "trainer/gate/verdict.h"

namespace trainer {

struct DetectionComparison {
  Verdict verdict;
  std::size_t images = 0;
  std::size_t objects = 0;  // without crowds
  // Means of the classes that have objects. AP, here and below, over IoU 0.5 to 0.75.
  std::optional<Difference> ap;
  std::optional<Difference> ap50;
  // AP of all classes in one ranking.
  std::optional<Difference> pooled_ap;
  // Of masks, if the annotations have some and the old model finds some.
  std::optional<Difference> masks_ap50;
  struct OfClass {
    std::string name;
    std::size_t objects = 0;
    std::optional<Difference> ap50;
  };
  std::vector<OfClass> by_class;  // by class index
};

// The verdict is by the boxes' AP at IoU 0.5 to 0.75; neither a class's AP50 may fall nor that of
// all masks. All over all scores, as COCO has it: not by what is left above a threshold, which is a
// setting of each project and no property of a model. If both have found the very same, the new one
// is not better. REQUIRES: both as EvaluateCoco's.
DetectionComparison CompareDetections(const dataset::Dataset& truth,
                                      const DetectionsByImage& old_detections,
                                      const DetectionsByImage& new_detections,
                                      const BootstrapOptions& options, const GateRule& rule = {});

// The verdict's ToJson, and {"old_score": 0.6, "new_score": 0.66, "images": 40, "objects": 190,
// "ap": {"old": 0.41, …}, "ap50": {…}, "pooled_ap": {…}, "masks_ap50": null,
// "by_class": {"star": {"objects": 12, "images": 7, "old": …}, …}}.
// The scores are AP50; 0 if nothing could be measured. by_class is of AP50, null without objects.
boost::json::object ToJson(const DetectionComparison& comparison);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_COMPARE_DETECTIONS_H_
