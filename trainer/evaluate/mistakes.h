// Where a detector is wrong: how many objects it misses and how many false alarms it raises on each
// image, at one score threshold. A training's report draws the worst images.
//
// A detection hits an object of its class if their IoU is at least 0.5; hits are matched as COCO's
// are, and crowds count neither way.
#ifndef DUET_TRAINER_EVALUATE_MISTAKES_H_
#define DUET_TRAINER_EVALUATE_MISTAKES_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"

namespace trainer {

struct Mistakes {
  // Detections count if their score is greater, as in the detector's service.
  double score_threshold = 0;
  int hits = 0;
  int missed = 0;
  int false_alarms = 0;
  // Of the detections that count, the share of hits; of the objects, the share that is found; and
  // the harmonic mean of both. 0 where there are none.
  double precision = 0;
  double recall = 0;
  double f1 = 0;

  struct OfImage {
    int missed = 0;
    int false_alarms = 0;
    int count() const { return missed + false_alarms; }
  };
  std::vector<OfImage> by_image;  // in the order of Dataset::samples
};

// At `score_threshold`; without one at the threshold with the best F1 (of equal ones the highest).
// REQUIRES: as EvaluateCoco.
Mistakes CountMistakes(const dataset::Dataset& truth, const DetectionsByImage& detections,
                       IouType type, std::optional<double> score_threshold = std::nullopt);

// Indices of the at most `count` images with the most mistakes, the worst first; none without a
// mistake. Of equal ones the first.
std::vector<std::size_t> WorstImages(const Mistakes& mistakes, std::size_t count);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_MISTAKES_H_
