// COCO's average precision when each image counts any number of times. That is what a bootstrap
// asks for, thousands of times: images are matched once, and only the counting is repeated.
#ifndef DUET_TRAINER_GATE_WEIGHTED_PRECISION_H_
#define DUET_TRAINER_GATE_WEIGHTED_PRECISION_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataset/sample.h"
#include "trainer/evaluate/detection.h"
#include "trainer/evaluate/matching.h"

namespace trainer {

// Of a class, or the mean of classes. None where there is no object to be found.
struct Precision {
  std::optional<double> ap;    // the mean over IoU 0.5 to 0.95, or less (WeightedPrecision)
  std::optional<double> ap50;  // at IoU 0.5
};

// Keeps nothing of what it was made from. Immutable; every call is thread-safe.
class WeightedPrecision {
 public:
  // `thresholds`: how many of COCO's IoU thresholds AP is the mean of, from 0.5 upwards.
  // REQUIRES: as EvaluateCoco; 1 <= thresholds <= kIouThresholds.
  WeightedPrecision(const dataset::Dataset& truth, const DetectionsByImage& detections,
                    IouType type, int thresholds = kIouThresholds);

  // One a class. `counts`: how often each sample counts, in the order of Dataset::samples. Where
  // all count once, the result is EvaluateCoco's. REQUIRES: one count a sample, none negative.
  std::vector<Precision> ByClass(std::span<const int> counts) const;
  // Of the detections of all classes in one ranking: each object counts the same, however rare its
  // class is.
  Precision Pooled(std::span<const int> counts) const { return Of(pooled_, counts); }

 private:
  // Bits as in evaluate/matching.h.
  struct Answer {
    float score;
    std::uint32_t image;
    std::uint16_t hit;
    std::uint16_t ignored;
  };
  struct ObjectCount {
    std::uint32_t image;
    std::int32_t objects;
  };
  struct OfClass {
    std::vector<Answer> answers;  // best score first, up to the last hit
    std::vector<ObjectCount> objects;
  };

  static void Rank(std::vector<Answer>* answers);
  Precision Of(const OfClass& one, std::span<const int> counts) const;

  const std::size_t thresholds_;
  std::vector<OfClass> classes_;
  OfClass pooled_;
};

// Of the classes that have one; none if none has.
Precision MeanOf(const std::vector<Precision>& classes);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_WEIGHTED_PRECISION_H_
