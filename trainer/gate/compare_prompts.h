// Two segmenters by the IoUs of their masks on the same annotated images, for each kind of prompt
// that a user gives.
#ifndef DUET_TRAINER_GATE_COMPARE_PROMPTS_H_
#define DUET_TRAINER_GATE_COMPARE_PROMPTS_H_

#include <boost/json/object.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "trainer/gate/paired_bootstrap.h"
#include "trainer/gate/verdict.h"

namespace trainer {

// Of one image.
struct PromptIous {
  std::size_t objects = 0;   // at least one
  std::vector<double> ious;  // means over the objects, one a kind of prompt
};

struct PromptComparison {
  Verdict verdict;
  std::size_t images = 0;
  std::size_t objects = 0;
  // Means over the objects of all images: over all kinds of prompts, and of each.
  std::optional<Difference> iou;
  struct OfPrompt {
    std::string name;
    std::optional<Difference> iou;
  };
  std::vector<OfPrompt> by_prompt;
};

// The rule of detectors but for what may fall. A kind of prompt is measured on all images, and a
// mean of IoUs moves less from one image to the next than a class's AP50 does; so a smaller fall
// shows, and counts.
GateRule PromptRule();

// The verdict is by the mean over all kinds of prompts; none of these that was good may fall. If
// both models have the very same IoUs, the new one is not better. `prompts`: what people call the
// kinds, "IoU from a box". REQUIRES: of both models the same images, with the same objects; an IoU
// for each kind of prompt; at least one kind.
PromptComparison ComparePrompts(const std::vector<std::string>& prompts,
                                const std::vector<PromptIous>& old_ious,
                                const std::vector<PromptIous>& new_ious,
                                const BootstrapOptions& options,
                                const GateRule& rule = PromptRule());

// The verdict's ToJson, and {"old_score": 0.86, "new_score": 0.9, "images": 40, "objects": 190,
// "iou": {"old": 0.86, …}, "by_prompt": {"IoU from a box": {"old": 0.9, …}, …}}. The scores are the
// IoU over all kinds of prompts; 0 if nothing could be measured.
boost::json::object ToJson(const PromptComparison& comparison);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_COMPARE_PROMPTS_H_
