#include "trainer/evaluate/served_detections.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <utility>

#include "detector_service/inference/detection_model.h"
#include "text/str_cat.h"

namespace trainer {

absl::StatusOr<DetectionsByImage> DetectAsServed(const ServedModel& model,
                                                 const ImageSource& images) {
  const std::vector<std::string>& classes = images.classes();
  const auto loaded = detector::DetectionModel::Load(
      {.checkpoint = model.checkpoint, .precision = model.precision});
  if (!loaded.ok()) return loaded.status();
  detector::DetectionModel& detector = **loaded;

  std::vector<int> class_indices;  // by the model's class id; -1: not in the data set
  for (const std::string& name : detector.classes()) {
    const auto at = std::find(classes.begin(), classes.end(), name);
    class_indices.push_back(at == classes.end() ? -1 : static_cast<int>(at - classes.begin()));
  }
  if (*std::max_element(class_indices.begin(), class_indices.end()) < 0) {
    return absl::InvalidArgumentError(text::StrCat(
        model.checkpoint, ": none of its classes (", absl::StrJoin(detector.classes(), ", "),
        ") is one of the data set (", absl::StrJoin(classes, ", "), ")"));
  }

  const detector::DetectOptions options{.score_threshold = detector.evaluation_score_threshold()};
  DetectionsByImage detections;
  for (std::size_t index = 0; index < images.size(); ++index) {
    const absl::StatusOr<TrainingImage> image = images.Load(index);
    if (!image.ok()) return image.status();
    absl::StatusOr<std::vector<detector::Detection>> found = detector.Detect(image->image, options);
    if (!found.ok()) return found.status();
    std::vector<Detection>& kept = detections.emplace_back();
    for (detector::Detection& one : *found) {
      const int class_index = class_indices[static_cast<std::size_t>(one.class_id)];
      if (class_index < 0) continue;
      kept.push_back({.class_index = class_index,
                      .box = one.box,
                      .score = one.score,
                      .mask = std::move(one.mask)});
    }
  }
  return detections;
}

}  // namespace trainer
