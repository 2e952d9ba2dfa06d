#include "trainer/evaluate/served_detections.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <utility>

#include "detector_service/inference/detection_model.h"
#include "text/str_cat.h"

namespace trainer {

ServedDetector::ServedDetector(std::unique_ptr<detector::DetectionModel> model)
    : model_(std::move(model)) {}
ServedDetector::ServedDetector(ServedDetector&& other) noexcept = default;
ServedDetector::~ServedDetector() = default;

absl::StatusOr<ServedDetector> ServedDetector::Load(const ServedModel& model) {
  auto loaded = detector::DetectionModel::Load(
      {.checkpoint = model.checkpoint, .precision = model.precision});
  if (!loaded.ok()) return loaded.status();
  return ServedDetector(*std::move(loaded));
}

const std::vector<std::string>& ServedDetector::classes() const { return model_->classes(); }

absl::StatusOr<DetectionsByImage> ServedDetector::Detect(const ImageSource& images,
                                                         const ClassMatch& match,
                                                         const std::function<void()>& on_image) {
  detector::DetectionModel& detector = *model_;
  // By the model's class id.
  const std::vector<std::vector<int>> class_indices =
      match.ClassesOf(detector.classes(), images.classes());
  const detector::DetectOptions options{.score_threshold = detector.evaluation_score_threshold()};
  DetectionsByImage detections;
  for (std::size_t index = 0; index < images.size(); ++index) {
    const absl::StatusOr<TrainingImage> image = images.Load(index);
    if (!image.ok()) return image.status();
    absl::StatusOr<std::vector<detector::Detection>> found = detector.Detect(image->image, options);
    if (!found.ok()) return found.status();
    std::vector<Detection>& kept = detections.emplace_back();
    for (const detector::Detection& one : *found) {
      for (const int class_index : class_indices[static_cast<std::size_t>(one.class_id)]) {
        kept.push_back(
            {.class_index = class_index, .box = one.box, .score = one.score, .mask = one.mask});
      }
    }
    on_image();
  }
  return detections;
}

absl::StatusOr<DetectionsByImage> DetectAsServed(const ServedModel& model,
                                                 const ImageSource& images) {
  absl::StatusOr<ServedDetector> detector = ServedDetector::Load(model);
  if (!detector.ok()) return detector.status();
  const std::vector<std::string>& known = detector->classes();
  const std::vector<std::string>& wanted = images.classes();
  if (std::find_first_of(known.begin(), known.end(), wanted.begin(), wanted.end()) == known.end()) {
    return absl::InvalidArgumentError(
        text::StrCat(model.checkpoint, ": none of its classes (", absl::StrJoin(known, ", "),
                     ") is one of the data set (", absl::StrJoin(wanted, ", "), ")"));
  }
  return detector->Detect(images);
}

}  // namespace trainer
