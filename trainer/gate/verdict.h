// Whether a new model shall take the old one's place, by what both find on images that neither has
// learned from (docs/adr/0707).
//
// A swap that loses costs the annotators every image until somebody notices it; a swap that isn't
// made costs a few more annotations. So a new model has to be better with some certainty. Where the
// images don't tell, the verdict is how many would.
#ifndef DUET_TRAINER_GATE_VERDICT_H_
#define DUET_TRAINER_GATE_VERDICT_H_

#include <optional>
#include <string>
#include <vector>

#include "trainer/gate/paired_bootstrap.h"

namespace trainer {

enum class Decision { kBetter, kNotBetter, kUndecided };

// "better", "not_better", "undecided"
const char* NameOf(Decision decision);

struct GateRule {
  // How probable it must be that what is said is so.
  double confidence = 0.95;
  // How probable a gain of the whole must be if the pooled score has gained with `confidence`.
  double support = 0.8;
  // How often these very images have decided, this time included. Who asks often enough gets a yes
  // by chance, so the doubt that `confidence` and `support` leave to a gain is divided by it.
  double looks = 1;
  // Better gains more than 0; what gains less than this is not better.
  double margin = 0.01;
  // What replaces nothing, an old score of 0, must gain so much to be better.
  double first = 0.05;
  // A part whose old score is at least this is good, and may not fall by more than `fall`.
  double good = 0.5;
  double fall = 0.05;
  // A good part whose score is lower by more than this keeps the new model from being better, be it
  // by chance: on a few images no fall is certain, not even one to nothing.
  double apparent_fall = 0.2;
  // The images that these are a part of, as the validation side is of what was annotated; 0: they
  // are all. How many are needed is told as a number of such.
  int annotated = 0;
  // By how much a single image can typically change the score, and that of a part. Where all images
  // of a few agree, their error is 0; but the next image may not agree.
  double image_effect = 0.1;
  double image_effect_on_part = 1;
};

// A class, or whatever else may not fall while the whole gets better.
struct ComparedPart {
  std::string name;
  Difference difference;
};

struct Verdict {
  Decision decision = Decision::kUndecided;
  // One sentence with figures, for people.
  std::string reason;
  // If it is undecided: with how many images like these (GateRule::annotated), in all, it probably
  // would be decided.
  int images_needed = 0;
  // Names of parts: those that fall for certain, and those that only seem to.
  std::vector<std::string> fallen;
  std::vector<std::string> perhaps_fallen;
};

// `score`: what people call it, "AP". `whole`: none where nothing could be measured. `images`: how
// many there are to measure on. `pooled`: the same score with all parts in one, if there is such a
// one. It knows more from a few images, on which a class may have a single object, but rare classes
// hardly count in it: so it only supports the whole.
Verdict Decide(const std::string& score, const std::optional<Difference>& whole,
               const std::vector<ComparedPart>& parts, int images, const GateRule& rule = {},
               const std::optional<Difference>& pooled = std::nullopt);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_VERDICT_H_
