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

// Removes from `dataset` the images that the filter leaves out and, before that, objects of less
// than a pixel in width or height or without an area (mmdet/datasets/coco.py: parse_data_info). An
// image whose only objects are of that kind is not empty, as it isn't there. What is removed is
// counted in `findings`.
void FilterForTraining(const TrainingFilter& filter, dataset::Dataset* dataset,
                       dataset::Findings* findings);

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_TRAINING_FILTER_H_
