// How sure the difference of two models is that were measured on the same images: a paired
// bootstrap (Efron and Tibshirani 1993). Each draw takes as many images as there are, with
// replacement, and measures both models on them; how much the difference varies from draw to draw
// is how much it would vary from one set of images to the next.
//
// It knows nothing of detectors: a score is whatever a function makes of a number of images, such
// as COCO's AP, which is no mean of anything of single images, or the mean IoU of masks.
#ifndef DUET_TRAINER_GATE_PAIRED_BOOTSTRAP_H_
#define DUET_TRAINER_GATE_PAIRED_BOOTSTRAP_H_

#include <absl/functional/function_ref.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace trainer {

// Of the old and the new model on the same images. None where there is nothing to measure: no
// object of a class, say.
struct ScorePair {
  double old_score = 0;
  double new_score = 0;
};
using ScorePairs = std::vector<std::optional<ScorePair>>;

// Measures any number of scores, always the same ones in the same order, when image i counts
// counts[i] times.
using Measure = absl::FunctionRef<ScorePairs(std::span<const int> counts)>;

// What is known of a score's difference.
struct Difference {
  double old_score = 0;  // on all images
  double new_score = 0;
  // Images that tell something about it, those that have what is measured.
  int images = 0;
  // Standard deviation of new_score - old_score from one set of images to the next; infinite if
  // there are less than two images.
  double error = 0;

  double value() const { return new_score - old_score; }
  // The true difference is above AtLeast(0.98), and below AtMost(0.98), with such a probability: by
  // Student's distribution, since with few images the error itself isn't known well.
  // REQUIRES: 0.5 <= confidence < 1.
  double AtLeast(double confidence) const;
  double AtMost(double confidence) const;
};

struct BootstrapOptions {
  int draws = 500;
  std::uint64_t seed = 1;
};

// By score; none where there is none on all images. `images`: how many there are. The same seed
// gives the same draws. Scores that a draw doesn't have are left out of it.
std::vector<std::optional<Difference>> PairedBootstrap(std::size_t images, Measure measure,
                                                       const BootstrapOptions& options);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_PAIRED_BOOTSTRAP_H_
