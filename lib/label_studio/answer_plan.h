// AnswerPlan: where the answers to clicks go.
//
// An answer goes into the control of the prompt's image that has one of its labels, brush before
// polygon, ellipse and rectangle, and of one kind those that aren't smart before smart ones. If it
// is a brush or polygon, the box also goes into the first such rectangle that isn't for prompts
// only (smartOnly), if a rectangle was drawn, or if both take their labels from one <Labels> (a
// click into the printed config: exports of boxes would lack the object). A control without labels
// is taken if no other has the prompt's.
#ifndef DUET_LABEL_STUDIO_ANSWER_PLAN_H_
#define DUET_LABEL_STUDIO_ANSWER_PLAN_H_

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "label_studio/context.h"
#include "label_studio/label_config.h"
#include "label_studio/label_matcher.h"

namespace label_studio {

// The labels that a region gets from one group, as the config spells them.
struct Labelling {
  const LabelGroup* group = nullptr;
  std::vector<std::string> labels;
};

// A control that an answer is written into.
struct AnswerTarget {
  const Control* control = nullptr;  // points into the config
  std::vector<Labelling> labels;     // likewise; empty if the prompt has no label
};

// Made once a config, since a project may have a hundred thousand labels and somebody waits for
// the answer. Thread-safe.
class AnswerPlan {
 public:
  // `config` outlives the plan and what it chooses.
  explicit AnswerPlan(const LabelConfig& config);

  // FailedPrecondition, saying what to add to the config, if there is no place for the answer.
  absl::StatusOr<std::vector<AnswerTarget>> ChooseTargets(const InteractivePrompt& prompt) const;

 private:
  class Chooser;  // for one prompt

  const LabelConfig& config_;
  absl::flat_hash_map<const LabelGroup*, LabelMatcher> matchers_;  // of all groups
};

// OK if the image has a control that an answer may be written into; else FailedPrecondition.
absl::Status CheckAnswerable(const LabelConfig& config, const ImageTag& image);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_ANSWER_PLAN_H_
