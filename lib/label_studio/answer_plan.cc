#include "label_studio/answer_plan.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "label_studio/region_kind.h"
#include "text/str_cat.h"

namespace label_studio {

// Chooses among the controls of the prompt's image.
class AnswerPlan::Chooser {
 public:
  Chooser(const AnswerPlan& plan, const InteractivePrompt& prompt) : plan_(plan), prompt_(prompt) {
    for (const Control& control : plan.config_.controls) {
      if (control.to_name == prompt.to_name) controls_.push_back(&control);
    }
    const auto drawn_with =
        std::find_if(controls_.begin(), controls_.end(),
                     [&](const Control* control) { return control->name == prompt.from_name; });
    for (const std::string& text : prompt.labels) {
      sources_.push_back(drawn_with == controls_.end() ? nullptr : Source(**drawn_with, text));
    }
  }

  // The first control of the kind that has one of the prompt's labels, or any if it has none.
  std::optional<AnswerTarget> Labelled(RegionKind kind, bool with_smart_only = true) const {
    return First(kind, with_smart_only, [this](const Control& control) {
      AnswerTarget target{&control, LabelsFor(control)};
      return prompt_.labels.empty() || !target.labels.empty() ? std::optional(std::move(target))
                                                              : std::nullopt;
    });
  }
  std::optional<AnswerTarget> Bare(RegionKind kind, bool with_smart_only = true) const {
    return First(kind, with_smart_only, [](const Control& control) {
      return control.bare() ? std::optional(AnswerTarget{&control, {}}) : std::nullopt;
    });
  }

 private:
  // Those that aren't smart come first.
  template <typename Try>
  std::optional<AnswerTarget> First(RegionKind kind, bool with_smart_only, Try attempt) const {
    for (const bool smart : {false, true}) {
      for (const Control* control : controls_) {
        if (control->kind != kind || control->smart != smart) continue;
        if (control->smart_only && !with_smart_only) continue;
        if (auto target = attempt(*control)) return target;
      }
    }
    return std::nullopt;
  }

  const LabelMatcher& MatcherOf(const LabelGroup& group) const {
    return plan_.matchers_.at(&group);
  }

  // The tag that a label of the prompt was chosen by.
  const Label* Source(const Control& control, std::string_view text) const {
    for (const LabelGroupPtr& group : control.groups) {
      if (const Label* label = MatcherOf(*group).FindWrittenOrValue(text)) return label;
    }
    return nullptr;
  }

  // The label of the group that stands for a label of the prompt, whose tag is `source` (or null).
  const Label* Find(const LabelGroup& group, const std::string& text, const Label* source) const {
    const LabelMatcher& matcher = MatcherOf(group);
    if (const Label* written = matcher.FindWritten(text)) return written;
    const Label* const by_value = source == nullptr ? nullptr : matcher.Match(source->value);
    return by_value != nullptr ? by_value : matcher.Match(text);
  }

  // Each label of the prompt in the first group that has it; of a group one, or several if it
  // allows that.
  std::vector<Labelling> LabelsFor(const Control& control) const {
    std::vector<Labelling> labels;
    for (std::size_t i = 0; i < prompt_.labels.size(); ++i) {
      for (const LabelGroupPtr& group : control.groups) {
        const Label* const label = Find(*group, prompt_.labels[i], sources_[i]);
        if (label == nullptr) continue;
        const auto known = std::find_if(labels.begin(), labels.end(), [&](const Labelling& one) {
          return one.group == group.get();
        });
        if (known == labels.end()) {
          labels.push_back({group.get(), {label->written()}});
        } else if (group->multiple) {
          known->labels.push_back(label->written());
        }
        break;
      }
    }
    return labels;
  }

  const AnswerPlan& plan_;
  const InteractivePrompt& prompt_;
  std::vector<const Control*> controls_;
  std::vector<const Label*> sources_;  // of the prompt's labels
};

namespace {

// True if both take their labels from the same <Labels>.
bool ShareLabels(const Control& one, const Control& other) {
  return !one.bare() && one.groups == other.groups;
}

}  // namespace

AnswerPlan::AnswerPlan(const LabelConfig& config) : config_(config) {
  for (const Control& control : config.controls) {
    for (const LabelGroupPtr& group : control.groups) {
      // The profile's map is from the model's classes; here labels are looked up.
      matchers_.try_emplace(group.get(), *group, LabelMap());
    }
  }
}

absl::StatusOr<std::vector<AnswerTarget>> AnswerPlan::ChooseTargets(
    const InteractivePrompt& prompt) const {
  const ImageTag* const image = config_.FindImage(prompt.to_name);
  if (image != nullptr) {
    if (absl::Status status = CheckAnswerable(config_, *image); !status.ok()) return status;
  }
  const Chooser chooser(*this, prompt);
  std::vector<AnswerTarget> targets;
  for (const RegionKindInfo& info : AnswerKinds()) {
    if (!targets.empty()) break;
    if (auto target = chooser.Labelled(info.kind)) targets.push_back(*std::move(target));
  }
  for (const RegionKindInfo& info : AnswerKinds()) {
    if (!targets.empty()) break;
    if (auto target = chooser.Bare(info.kind)) targets.push_back(*std::move(target));
  }
  if (targets.empty()) {
    return absl::FailedPreconditionError(text::StrCat(
        "no ", TagsOf(AnswerKinds()), " on '", prompt.to_name, "' has the label '",
        prompt.labels.empty() ? "" : prompt.labels.front(), "'; add it to one of them"));
  }
  const Control& mask = *targets.front().control;
  if (InfoOf(mask.kind).auto_output == AutoOutput::kOneOf) {
    auto box = chooser.Labelled(RegionKind::kRectangle, /*with_smart_only=*/false);
    if (!box) box = chooser.Bare(RegionKind::kRectangle, /*with_smart_only=*/false);
    if (box && (prompt.has_rectangle || ShareLabels(mask, *box->control))) {
      targets.push_back(*std::move(box));
    }
  }
  return targets;
}

absl::Status CheckAnswerable(const LabelConfig& config, const ImageTag& image) {
  const bool has_one =
      std::any_of(config.controls.begin(), config.controls.end(), [&](const Control& control) {
        return control.to_name == image.name && InfoOf(control.kind).answer_order.has_value();
      });
  if (has_one) return absl::OkStatus();
  return absl::FailedPreconditionError(
      text::StrCat("the label config has no control that can hold a mask; add <BrushLabels "
                   "name=\"brush\" toName=\"",
                   image.name, "\"> with the labels of the smart controls"));
}

}  // namespace label_studio
