// Whether an image is the one that was annotated.
#ifndef DUET_DATASET_SAMPLE_IMAGE_H_
#define DUET_DATASET_SAMPLE_IMAGE_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "dataset/findings.h"
#include "dataset/sample.h"

namespace dataset {

// The format of the encoded image ("jpeg", "png", …), and the sample's size from it if it was
// unknown. None, counted in `findings`, if it couldn't be read, is no image, or has another upright
// size than the one that was annotated. `bytes`: what reading it gave; NotFound and DataLoss
// (damaged) are kinds of their own.
std::optional<std::string> AcceptImage(const absl::StatusOr<std::string>& bytes, Sample* sample,
                                       Findings* findings);

}  // namespace dataset

#endif  // DUET_DATASET_SAMPLE_IMAGE_H_
