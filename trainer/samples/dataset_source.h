// The images of a data set that lie in a folder.
#ifndef DUET_TRAINER_SAMPLES_DATASET_SOURCE_H_
#define DUET_TRAINER_SAMPLES_DATASET_SOURCE_H_

#include <string>
#include <utility>
#include <vector>

#include "dataset/sample.h"
#include "trainer/samples/image_source.h"

namespace trainer {

// Images are decoded as the services decode them (vision/image_codec.h), which is what
// cv2.imread(IMREAD_COLOR) gives, by which mmdet reads. Two things differ by intent: an image that
// is cut off or damaged is an error here, where cv2 gives grey areas to learn from; and a PNG is
// turned by its EXIF orientation, because that is how the annotator saw it.
class DatasetSource : public ImageSource {
 public:
  // `folder`: what dataset::ReadImageFile takes, for a frozen revision its directory. Samples whose
  // bytes are in memory need none. `masks`: false saves their memory where only boxes are needed.
  DatasetSource(dataset::Dataset dataset, std::string folder, bool masks)
      : dataset_(std::move(dataset)), folder_(std::move(folder)), masks_(masks) {}

  const std::vector<std::string>& classes() const override { return dataset_.classes; }
  std::size_t size() const override { return dataset_.samples.size(); }
  std::string name(std::size_t index) const override { return dataset_.samples[index].image; }
  absl::StatusOr<TrainingImage> Load(std::size_t index) const override;

  // For what only annotations can tell, such as COCO's areas.
  const dataset::Dataset& dataset() const { return dataset_; }

 private:
  const dataset::Dataset dataset_;
  const std::string folder_;
  const bool masks_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_DATASET_SOURCE_H_
