// What a training and its measurements work on: decoded images with their objects, wherever they
// come from.
#ifndef DUET_TRAINER_SAMPLES_IMAGE_SOURCE_H_
#define DUET_TRAINER_SAMPLES_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "vision/geometry.h"
#include "vision/mask.h"

namespace trainer {

// Frame: pixels of the image that it belongs to.
struct TrainingObject {
  vision::Box box;
  int class_index = 0;  // into ImageSource::classes()
  // Of the image's size, in spans: pixels would take a large image's size an object. Null if there
  // is none, or none is wanted.
  std::shared_ptr<const vision::Mask> mask;
  // A region of many things: the training neither wants nor punishes detections there.
  bool ignored = false;
};

struct TrainingImage {
  cv::Mat image;  // CV_8UC3, BGR, upright
  std::vector<TrainingObject> objects;
};

// Immutable. Every call is thread-safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // Class names, none twice.
  virtual const std::vector<std::string>& classes() const = 0;
  // How many images there are.
  virtual std::size_t size() const = 0;
  // What people call the image: its path, for example. REQUIRES: index < size().
  virtual std::string name(std::size_t index) const = 0;
  // The image, whose pixels are the caller's own; the same index gives the same. An error names the
  // image: a file that is missing or damaged, or that has another size than what was annotated.
  // Whoever reads many images goes on without such a one and says so, since a training must not die
  // after hours for one file. REQUIRES: index < size().
  virtual absl::StatusOr<TrainingImage> Load(std::size_t index) const = 0;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_IMAGE_SOURCE_H_
