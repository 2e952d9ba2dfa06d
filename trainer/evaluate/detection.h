// What a detector found on an image, as evaluations compare it with a dataset::Dataset.
#ifndef DUET_TRAINER_EVALUATE_DETECTION_H_
#define DUET_TRAINER_EVALUATE_DETECTION_H_

#include <optional>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace trainer {

struct Detection {
  int class_index = 0;  // into Dataset::classes
  // Pixels of the upright image.
  vision::Box box;
  float score = 0;
  // Of the image's size. Evaluations of masks treat a missing one as empty.
  std::optional<vision::Mask> mask;
};

// One list an image, in the order of Dataset::samples. Within a list only ties depend on the order.
using DetectionsByImage = std::vector<std::vector<Detection>>;

// What is compared: the boxes, or the masks.
enum class IouType { kBoxes, kMasks };

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_DETECTION_H_
