#include "label_studio/emission_plan.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <optional>

#include "label_studio/json_text.h"
#include "text/str_cat.h"

namespace label_studio {

absl::StatusOr<Outputs> ParseOutputs(std::string_view text) {
  Outputs outputs;
  if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(text::View(text)), "auto")) return outputs;
  for (const absl::string_view word :
       absl::StrSplit(text::View(text), ',', absl::SkipWhitespace())) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(word));
    if (name == "auto") {
      return absl::InvalidArgumentError(
          "outputs: 'auto' stands alone; it leaves the choice of kinds to the label config");
    }
    const auto info = std::find_if(RegionKinds().begin(), RegionKinds().end(),
                                   [&](const auto& known) { return known.name == name; });
    if (info == RegionKinds().end()) {
      std::string known = "auto";
      for (const RegionKindInfo& kind : RegionKinds()) text::StrAppend(&known, ", ", kind.name);
      return absl::InvalidArgumentError(
          text::StrCat("outputs: '", name, "' is unknown; known: ", known));
    }
    if (std::find(outputs.kinds.begin(), outputs.kinds.end(), info->kind) == outputs.kinds.end()) {
      outputs.kinds.push_back(info->kind);
    }
  }
  return outputs;
}

// The controls of one image, and what they have for the classes.
class EmissionPlan::Maker {
 public:
  Maker(const LabelConfig& config, const ImageTag& image, const std::vector<std::string>& classes,
        const LabelMap& label_map)
      : classes_(classes) {
    for (const Control& control : config.controls) {
      if (control.to_name != image.name) continue;
      controls_.push_back(&control);
      for (const LabelGroupPtr& group : control.groups) {
        has_labels_ = has_labels_ || !group->labels.empty() || !group->from_task.empty();
        if (!group->from_task.empty()) has_labels_of_task_ = true;
        matchers_.try_emplace(group.get(), *group, label_map);
      }
    }
    matched_ = std::any_of(classes_.begin(), classes_.end(),
                           [this](const std::string& name) { return HasLabel(name); });
  }

  // Whether the image's controls have labels, but none for any class, as far as one can know.
  bool MatchesNoClass() const {
    return has_labels_ && !has_labels_of_task_ && !matched_ && !classes_.empty();
  }

  std::optional<Target> Find(RegionKind kind, const std::string& class_name) const {
    const Control* bare = nullptr;
    std::optional<Target> plain;  // of all plain controls, since they have the same groups
    for (const Control* control : controls_) {
      if (control->kind != kind || control->smart) continue;
      if (control->bare()) {
        if (bare == nullptr) bare = control;
      } else if (control->has_own_labels) {
        if (const auto target = FirstMatch(*control, class_name)) return target;
      } else if (!plain) {
        plain = FirstMatch(*control, class_name).value_or(Target{});
        if (plain->label != nullptr) return plain;
      }
    }
    if (bare == nullptr || (has_labels_ && !HasLabel(class_name))) return std::nullopt;
    return Target{bare, nullptr, nullptr};
  }

  // The controls of a kind whose labels are in the tasks.
  std::vector<Target> FromTask(RegionKind kind) const {
    std::vector<Target> targets;
    for (const Control* control : controls_) {
      if (control->kind != kind || control->smart) continue;
      for (const LabelGroupPtr& group : control->groups) {
        if (!group->from_task.empty()) targets.push_back({control, group.get(), nullptr});
      }
    }
    return targets;
  }

  // The kinds to write, of those that `may_use` allows.
  template <typename MayUse>
  std::vector<RegionKind> ChooseKinds(const Outputs& outputs, MayUse may_use) const {
    std::vector<RegionKind> kinds;
    const auto add = [&](RegionKind kind) {
      if (!may_use(kind) || !IsUsable(kind)) return false;
      kinds.push_back(kind);
      return true;
    };
    if (!outputs.kinds.empty()) {
      for (const RegionKind kind : outputs.kinds) add(kind);
      return kinds;
    }
    const auto add_all = [&](AutoOutput when) {
      for (const RegionKindInfo& info : RegionKinds()) {
        if (info.auto_output == when && add(info.kind) && when == AutoOutput::kOneOf) return;
      }
    };
    add_all(AutoOutput::kAlways);
    add_all(AutoOutput::kOneOf);
    if (kinds.empty()) add_all(AutoOutput::kIfNothingElse);
    return kinds;
  }

 private:
  std::optional<Target> FirstMatch(const Control& control, const std::string& class_name) const {
    for (const LabelGroupPtr& group : control.groups) {
      const Label* const label = matchers_.at(group.get()).Match(class_name);
      if (label != nullptr) return Target{&control, group.get(), label};
    }
    return std::nullopt;
  }

  bool HasLabel(const std::string& class_name) const {
    return std::any_of(matchers_.begin(), matchers_.end(), [&](const auto& matcher) {
      return matcher.second.Match(class_name) != nullptr;
    });
  }

  bool IsUsable(RegionKind kind) const {
    return !FromTask(kind).empty() ||
           std::any_of(classes_.begin(), classes_.end(),
                       [&](const std::string& name) { return Find(kind, name).has_value(); });
  }

  const std::vector<std::string>& classes_;
  std::vector<const Control*> controls_;
  absl::flat_hash_map<const LabelGroup*, LabelMatcher> matchers_;
  bool has_labels_ = false;
  bool has_labels_of_task_ = false;
  bool matched_ = false;  // some class has a label
};

namespace {

bool IsMadeOfMasksOnly(RegionKind kind) { return InfoOf(kind).write_box == nullptr; }

}  // namespace

EmissionPlan EmissionPlan::Make(const LabelConfig& config, const ImageTag& image,
                                const std::vector<std::string>& classes, const Options& options) {
  const Maker maker(config, image, classes, options.label_map);
  EmissionPlan plan;
  plan.image_ = &image;
  plan.classes_ = &classes;
  plan.matches_no_class_ = maker.MatchesNoClass();
  std::vector<RegionKind> kinds =
      maker.ChooseKinds(options.outputs, [](RegionKind) { return true; });
  plan.kinds_ = kinds;
  plan.needs_masks_ = std::any_of(kinds.begin(), kinds.end(), IsMadeOfMasksOnly);
  if (plan.needs_masks_ && !options.masks_available) {
    plan.needs_masks_ = false;
    plan.lacks_masks_ = true;
    kinds = maker.ChooseKinds(options.outputs,
                              [](RegionKind kind) { return !IsMadeOfMasksOnly(kind); });
  }
  for (const RegionKind kind : kinds) {
    const std::vector<Target> of_kind = maker.FromTask(kind);
    plan.from_task_.insert(plan.from_task_.end(), of_kind.begin(), of_kind.end());
  }
  plan.depends_on_task_ = !plan.from_task_.empty();
  for (const std::string& name : classes) {
    Range range{static_cast<std::uint32_t>(plan.targets_.size()), 0};
    for (const RegionKind kind : kinds) {
      if (const std::optional<Target> target = maker.Find(kind, name)) {
        plan.targets_.push_back(*target);
        ++range.count;
      }
    }
    if (range.count > 0) plan.of_class_.try_emplace(name, range);
  }
  plan.targets_.shrink_to_fit();
  return plan;
}

absl::Span<const EmissionPlan::Target> EmissionPlan::TargetsOf(std::string_view class_name) const {
  const auto found = of_class_.find(class_name);
  if (found == of_class_.end()) return {};
  return absl::MakeConstSpan(targets_).subspan(found->second.begin, found->second.count);
}

std::string EmissionPlan::Describe() const {
  // JSON, so that names can't run into each other.
  std::string text = "[";
  const auto add = [&text](std::string_view part) {
    AppendJsonString(part, &text);
    text.push_back(',');
  };
  const auto add_target = [&](const Target& target) {
    add(target.control->type);
    add(target.control->name);
    if (target.group != nullptr) add(target.group->name);
    if (target.label != nullptr) add(target.label->written());
  };
  add(image_->name);
  add(image_->value);
  add(image_->is_list ? "list" : "one");
  for (const std::string& name : *classes_) {
    const absl::Span<const Target> targets = TargetsOf(name);
    if (targets.empty()) continue;
    add(name);
    text.push_back('[');
    for (const Target& target : targets) add_target(target);
    text.append("],");
  }
  for (const Target& target : from_task_) {
    add_target(target);
    add(target.group->from_task);
  }
  return text + "]";
}

}  // namespace label_studio
