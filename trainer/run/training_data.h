// The images and annotations that a training works on: read from what people have, checked, split
// and frozen (dataset/revision.h), so that a training that is interrupted goes on with the very
// same.
#ifndef DUET_TRAINER_RUN_TRAINING_DATA_H_
#define DUET_TRAINER_RUN_TRAINING_DATA_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "dataset/findings.h"
#include "dataset/revision.h"
#include "dataset/sample.h"
#include "dataset/split.h"
#include "trainer/run/run_folder.h"

namespace trainer {

struct DataOptions {
  std::string data;          // path: COCO, Label Studio's export, or what its API says of tasks
  std::string label_config;  // path; may be empty
  std::string images;        // the folder with the images (dataset/image_files.h)
  // Path of a second file, whose images the model is measured with; all others are learned from.
  // "": the images of `data` are split.
  std::string validation;
  std::string validation_images;     // the folder of its images; "": that of `data`
  std::vector<std::string> classes;  // which, in which order; empty: all
  double val_share = 0.2;
};

// How often a class occurs on a side, crowds not counted.
struct ClassCount {
  std::size_t objects = 0;
  std::size_t images = 0;
};

struct TrainingData {
  // Of both sides, as they are below the directory.
  dataset::Revision revision;
  // What is learned from and what is measured with. Both have the revision's classes. Of the first
  // is left out what mmdet leaves out (samples/training_filter.h).
  dataset::Dataset train;
  dataset::Dataset validation;
  // What people call an image, by its frozen path.
  std::map<std::string, std::string> names;
  dataset::Findings findings;
};

// Reads, decodes each image once to see that it can be, and freezes below `directory`. `former`: as
// in dataset::RevisionOptions.
//
// What can't be used is left out and counted. InvalidArgument or NotFound, naming the flag or the
// file, if nothing is left to learn from, or of `options.validation` to measure with: no images, no
// image file found, no object of any class. If the split alone leaves no object to measure with,
// there are no validation images.
absl::StatusOr<TrainingData> FreezeTrainingData(const DataOptions& options,
                                                const dataset::Sides& former,
                                                const std::string& directory);
// Below the folder's data/; `former` is what its record says of an earlier training.
absl::StatusOr<TrainingData> FreezeTrainingData(const DataOptions& options,
                                                const RunFolder& folder);

// One a class.
std::vector<ClassCount> CountClasses(const dataset::Dataset& data);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_DATA_H_
