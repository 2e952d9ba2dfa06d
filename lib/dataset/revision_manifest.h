// The text of a revision's manifest.json. Internal to dataset.
#ifndef DUET_DATASET_REVISION_MANIFEST_H_
#define DUET_DATASET_REVISION_MANIFEST_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataset/split.h"

namespace dataset {

struct ManifestEntry {
  std::string task_id;
  std::string annotation_id;
  std::string annotation_sha256;  // of what the annotation says, whatever format it was in
  std::string image;              // below the directory
  std::string image_sha256;
  Side side = Side::kTrain;
};

struct Manifest {
  std::vector<std::string> classes;
  std::string train_sha256;  // of train.json
  std::string validation_sha256;
  std::vector<ManifestEntry> samples;
  Sides former_sides;  // of images that aren't among the samples
};

std::string ManifestText(const Manifest& manifest);
// DataLoss if it is not of this form. Paths of images have no parts that lead elsewhere.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace dataset

#endif  // DUET_DATASET_REVISION_MANIFEST_H_
