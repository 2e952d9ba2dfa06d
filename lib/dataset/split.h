// Which images a model learns from and which ones it is measured with.
//
// An image never changes sides between two revisions of a data set, or the measurement would be of
// images that the model has learned. Two tasks that show the very same image are on one side. What
// decides is in docs/adr/0703-split-and-revisions.md.
#ifndef DUET_DATASET_SPLIT_H_
#define DUET_DATASET_SPLIT_H_

#include <map>
#include <string>
#include <vector>

namespace dataset {

enum class Side { kTrain, kValidation };

// By the image's identity: the SHA-256 of its bytes, in hex.
using Sides = std::map<std::string, Side>;

struct SplitImage {
  std::string identity;
  // Of its objects; the order and repetitions don't matter. An image without objects has a class of
  // its own, so to speak.
  std::vector<std::string> classes;
};

// `former`, whose entries stay as they are, also those of images that are gone, and a side for each
// of the other images. Of each class about `validation_share` of the images (0 to 1) are on the
// side of validation, and at least one on each side if the share isn't 0, the class has two images
// or more, and those of `former` allow it. Which ones are chosen depends on hashes of the
// identities; the order of `images` doesn't matter.
Sides SplitImages(const std::vector<SplitImage>& images, double validation_share,
                  const Sides& former);

}  // namespace dataset

#endif  // DUET_DATASET_SPLIT_H_
