// What a training leaves out of a data set, as mmdet does.
#ifndef DUET_TRAINER_SAMPLES_TRAINING_FILTER_H_
#define DUET_TRAINER_SAMPLES_TRAINING_FILTER_H_

#include "dataset/findings.h"
#include "dataset/sample.h"

namespace trainer {

// mmdet's `filter_cfg` with the values of its configs.
struct TrainingFilter {
  // filter_empty_gt: leaves out images on which nothing is annotated, not even a crowd.
  bool skip_empty = true;
  // min_size: leaves out images one of whose sides is shorter.
  int min_side_px = 32;
};

// Removes from `dataset` the images that the filter leaves out. Of the others it removes objects
// that are marked `ignore`, lie outside of their image, have less than a pixel in width or height,
// or no area (mmdet/datasets/coco.py: parse_data_info); an image whose only objects are of these
// kinds stays, without them. What is removed is counted in `findings`. Then boxes are clipped to
// their image, which upstream leaves to the first transform that does it.
void FilterForTraining(const TrainingFilter& filter, dataset::Dataset* dataset,
                       dataset::Findings* findings);

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_TRAINING_FILTER_H_
