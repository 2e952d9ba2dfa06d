// How much is learned from annotating an image.
//
// A detector that has learned a class gives its objects high scores and everything else hardly
// any. Each score between is a question that an annotator would answer: worth the binary entropy of
// the score, in bits, 1 at a score of one half. An object of a class that the model hardly knows is
// found as several classes, each with a weak score, so it asks several questions: rare classes
// come early without being counted. An image is worth its three most doubtful objects. All of them
// would bring crowds to the front, of which every object is known, but none for certain
// (docs/adr/0906).
#ifndef DUET_CURATION_INFORMATIVENESS_H_
#define DUET_CURATION_INFORMATIVENESS_H_

#include <absl/types/span.h>

#include "curation/detection.h"

namespace curation {

// Of an image, by what was found in it with a score above kLeastScore: bits, at least 0.
double Informativeness(absl::Span<const Detection> detections);

// The score of a prediction that says so, above 0 and at most 1: the lower, the more is learned,
// since Label Studio's sampling takes the lowest score first. `informativeness`: the sum of the
// task's images.
double PredictionScore(double informativeness);

}  // namespace curation

#endif  // DUET_CURATION_INFORMATIVENESS_H_
