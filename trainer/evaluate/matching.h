// Which detections hit which objects, as pycocotools' COCOeval.evaluateImg decides it. Internal to
// evaluate.
//
// Each class of each image is matched by itself, at each of COCO's ten IoU thresholds: detections,
// best score first, take the object that they overlap most and that is still free. Crowds and
// objects outside of the area range need not be found. A detection that takes one of them, or one
// of another area that takes nothing, is ignored: it counts neither as hit nor as false alarm.
#ifndef DUET_TRAINER_EVALUATE_MATCHING_H_
#define DUET_TRAINER_EVALUATE_MATCHING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"

namespace trainer {

// 0.5, 0.55, … 0.95, to the bit as numpy.linspace gives them: of boxes with whole coordinates some
// have exactly such an IoU.
inline constexpr int kIouThresholds = 10;
double IouThreshold(int index);

// Square pixels, both ends included.
struct AreaRange {
  double min = 0;
  double max = 1e10;
};

// Of each class and image only so many detections are looked at, the best.
inline constexpr int kMaxDetections = 100;

// What became of a detection. Bit t belongs to IouThreshold(t).
struct Outcome {
  std::size_t image = 0;  // index of the sample
  float score = 0;
  int rank = 0;  // among the detections of its class and image; 0 is the best
  std::uint16_t hit = 0;
  std::uint16_t ignored = 0;
};

struct ClassOutcomes {
  // Image by image, in the order in which COCOeval concatenates them: by the samples' ids if all
  // are different whole numbers, otherwise as they are in the data set, as WriteCoco numbers them.
  std::vector<Outcome> detections;
  // How many are to be found.
  std::int64_t objects = 0;
};

// One class's objects and detections of one image, best score first.
struct ImageMatch {
  std::size_t image = 0;
  std::vector<const dataset::Object*> objects;
  std::vector<const Detection*> detections;
  std::vector<double> detection_areas;
  std::vector<double> ious;  // [detections, objects]
};

// What is to be matched, by class. Keeps pointers into both arguments.
class Matching {
 public:
  // REQUIRES: as many lists as samples, and all class indices are indices of `truth.classes`.
  Matching(const dataset::Dataset& truth, const DetectionsByImage& detections, IouType type);

  ClassOutcomes MatchClass(int class_index, AreaRange range) const;

 private:
  std::vector<std::vector<ImageMatch>> by_class_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_MATCHING_H_
