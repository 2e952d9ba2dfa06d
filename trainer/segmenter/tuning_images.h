// The images of a tuning with their masks and kept embeddings.
#ifndef DUET_TRAINER_SEGMENTER_TUNING_IMAGES_H_
#define DUET_TRAINER_SEGMENTER_TUNING_IMAGES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataset/findings.h"
#include "dataset/sample.h"
#include "segmenter_service/inference/sam_network.h"
#include "trainer/segmenter/kept_embeddings.h"
#include "trainer/segmenter/segmenter_tuner.h"

namespace trainer {

// Leaves out objects without a mask, crowds, and what shall not be learned; `findings` says how
// many have no mask. `name`: what people call the image.
void KeepObjectsWithMasks(const std::string& name, dataset::Sample* sample,
                          dataset::Findings* findings);

class TuningImages {
 public:
  // Of one side of a training's data: the objects that KeepObjectsWithMasks leaves, and the images
  // that have one. `names`: TrainingData's.
  TuningImages(const dataset::Dataset& data, const std::map<std::string, std::string>& names,
               dataset::Findings* findings);

  std::size_t size() const { return samples_.size(); }
  std::size_t objects() const;
  const std::string& name(std::size_t index) const { return names_[index]; }

  // Encodes what isn't kept yet, one image after another; an image that can't be read any more is
  // left out. `directory`: of the frozen data. `on_image` is called before each image that has to
  // be encoded with its index; what it returns, unless OK, ends it.
  absl::Status Encode(segmenter::SamNetwork& network, const KeptEmbeddings& kept,
                      const std::string& directory,
                      const std::function<absl::Status(std::size_t)>& on_image,
                      dataset::Findings* findings);

  // REQUIRES: Encode succeeded with `kept`.
  absl::StatusOr<TuningImage> Load(std::size_t index, const KeptEmbeddings& kept) const;

 private:
  std::vector<std::string> classes_;
  std::vector<dataset::Sample> samples_;
  std::vector<std::string> names_;  // what people call them
};

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_TUNING_IMAGES_H_
