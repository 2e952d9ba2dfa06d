// What a checkpoint finds on the images of a data set, computed by the code that serves it: images
// go in as a client sends them, detections come out as a client gets them. Knows no Torch.
#ifndef DUET_TRAINER_EVALUATE_SERVED_DETECTIONS_H_
#define DUET_TRAINER_EVALUATE_SERVED_DETECTIONS_H_

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/evaluate/detection.h"
#include "trainer/samples/class_match.h"
#include "trainer/samples/image_source.h"

namespace detector {
class DetectionModel;
}  // namespace detector

namespace trainer {

struct ServedModel {
  std::string checkpoint;          // path of a file that the detector serves
  std::string precision = "fp32";  // as the service's flag: fp32 or bf16
};

// A checkpoint in memory. Not thread-safe.
class ServedDetector {
 public:
  // Errors are those of the checkpoint.
  static absl::StatusOr<ServedDetector> Load(const ServedModel& model);
  ServedDetector(ServedDetector&& other) noexcept;
  ~ServedDetector();

  const std::vector<std::string>& classes() const;

  // Detects on all images of `images`, with the score threshold, and the most detections an image,
  // that the checkpoint's config has for evaluations. What the model's classes are among those of
  // `images` says `match`; detections of others are left out, one of a class that stands for two is
  // there for both. Errors are those of Load, so that nothing is scored on fewer images than it
  // says.
  // `on_image` is called after each image.
  absl::StatusOr<DetectionsByImage> Detect(
      const ImageSource& images, const ClassMatch& match = ClassMatch(),
      const std::function<void()>& on_image = [] {});

 private:
  explicit ServedDetector(std::unique_ptr<detector::DetectionModel> model);
  std::unique_ptr<detector::DetectionModel> model_;
};

// Loads and detects. InvalidArgument, too, if none of the model's classes is one of `images`.
absl::StatusOr<DetectionsByImage> DetectAsServed(const ServedModel& model,
                                                 const ImageSource& images);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_SERVED_DETECTIONS_H_
