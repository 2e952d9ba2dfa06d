#include "prelabel/project.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "hash/fnv.h"
#include "label_studio/region_kind.h"
#include "text/str_cat.h"

namespace prelabel {
namespace {

constexpr std::size_t kMaxReported = 1000;
// Of a plan: an entry of its table of classes, and a target.
constexpr std::size_t kPlanBytesPerLabel = 64;
constexpr std::size_t kAnswerBytesPerLabel = 12;
// Classes in a warning: COCO's eighty, of each project, would bury what `up` says.
constexpr std::size_t kMaxListed = 8;

constexpr char kOnlyMasks[] =
    "the label config takes masks only, but nothing makes masks: this backend URL has no segmenter "
    "(see --segmenter and --profiles), and the detector makes no masks of its own; add "
    "RectangleLabels";

constexpr char kOnlySmart[] =
    "only smart controls of the label config have labels for classes of the model, so clicks are "
    "answered but nothing is written into predictions; add a control that isn't smart (see ./duet "
    "label-config)";

// "cat, dog", cut if there are very many.
std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMaxListed; ++i) {
    text::StrAppend(&text, i == 0 ? "" : ", ", names[i]);
  }
  if (names.size() > kMaxListed)
    text::StrAppend(&text, " and ", names.size() - kMaxListed, " more");
  return text;
}

}  // namespace

const char Project::kNoMasks[] =
    "the label config has brushes, polygons, ellipses or keypoints, but nothing makes masks: this "
    "backend URL has no segmenter (see --segmenter and --profiles), and the detector makes no "
    "masks of its own; boxes alone are written";

absl::StatusOr<std::shared_ptr<Project>> Project::Create(const std::string& label_config,
                                                         const Settings& settings) {
  auto config = label_studio::ParseLabelConfig(label_config);
  if (!config.ok()) return config.status();
  const auto outputs = label_studio::ParseOutputs(settings.outputs);
  if (!outputs.ok()) return outputs.status();
  std::string xml = config->depends_on_task ? label_config : "";
  return std::shared_ptr<Project>(new Project(
      std::make_shared<const label_studio::LabelConfig>(*std::move(config)), std::move(xml),
      settings,
      {.outputs = *outputs,
       .label_map = label_studio::LabelMap(settings.label_map.begin(), settings.label_map.end())}));
}

bool Project::UsesOwnMasks(const ServedModels& models) const {
  return models.detector != nullptr && models.detector->has_masks &&
         settings_.mask_source != MaskSource::kSam;
}

bool Project::MasksAvailable(const ServedModels& models) const {
  return models.segmenter != nullptr || UsesOwnMasks(models);
}

std::shared_ptr<const PlannedConfig> Project::Plan(
    std::shared_ptr<const label_studio::LabelConfig> config, const ServedModels& models) const {
  static const std::vector<std::string> kNoClasses;
  // Batches write the detector's objects only, so other classes change no prediction.
  const std::vector<std::string>& classes = models.detector ? models.detector->classes : kNoClasses;
  label_studio::EmissionPlan::Options options = options_;
  options.masks_available = MasksAvailable(models);
  auto planned = std::make_shared<PlannedConfig>();
  planned->config = std::move(config);
  planned->detector = models.detector;
  for (const label_studio::ImageTag& image : planned->config->images) {
    planned->plans.push_back(
        label_studio::EmissionPlan::Make(*planned->config, image, classes, options));
  }
  return planned;
}

std::shared_ptr<const Project::Planned> Project::PlannedFor(const ServedModels& models) {
  const std::lock_guard lock(mutex_);
  auto found = std::find_if(planned_.begin(), planned_.end(), [&](const auto& one) {
    return one->config->detector == models.detector &&
           one->masks_available == MasksAvailable(models);
  });
  if (found == planned_.end()) {
    auto planned = std::make_shared<Planned>();
    planned->config = Plan(config_, models);
    planned->masks_available = MasksAvailable(models);
    planned->answers_hash = AnswersHash(*planned->config, models);
    if (planned_.size() == kMaxPlanned) planned_.pop_back();
    found = planned_.insert(planned_.end(), std::move(planned));
  }
  std::rotate(planned_.begin(), found, found + 1);
  return planned_.front();
}

absl::StatusOr<std::shared_ptr<const label_studio::LabelConfig>> Project::ConfigFor(
    const boost::json::object& task_data) const {
  if (!config_->depends_on_task) return config_;
  auto config = label_studio::ParseLabelConfig(xml_, task_data);
  if (!config.ok()) return config.status();
  return std::make_shared<const label_studio::LabelConfig>(*std::move(config));
}

std::shared_ptr<const label_studio::AnswerPlan> Project::AnswersFor(
    const std::shared_ptr<const label_studio::LabelConfig>& config) {
  if (config != config_) return std::make_shared<const label_studio::AnswerPlan>(*config);
  const std::lock_guard lock(mutex_);
  if (answers_ == nullptr) answers_ = std::make_shared<const label_studio::AnswerPlan>(*config_);
  return answers_;
}

absl::StatusOr<std::shared_ptr<const PlannedConfig>> Project::PlanFor(
    const ServedModels& models, const boost::json::object& task_data) {
  if (!config_->depends_on_task) return PlannedFor(models)->config;
  auto config = ConfigFor(task_data);
  if (!config.ok()) return config.status();
  return Plan(*std::move(config), models);
}

Project::Review Project::ReviewFor(const ServedModels& models) {
  const std::shared_ptr<const Planned> planned = PlannedFor(models);
  const std::vector<label_studio::EmissionPlan>& plans = planned->config->plans;
  const bool writes =
      std::any_of(plans.begin(), plans.end(), [](const auto& plan) { return !plan.empty(); });
  const bool lacks_masks =
      std::any_of(plans.begin(), plans.end(), [](const auto& plan) { return plan.lacks_masks(); });
  const bool matches_no_class =
      !writes && std::any_of(plans.begin(), plans.end(),
                             [](const auto& plan) { return plan.matches_no_class(); });
  const auto [left_out, taken] = SplitOutputs(plans);
  Review review;
  if (lacks_masks) {
    review.warnings.push_back(kNoMasks);
    if (!writes) review.status = absl::FailedPreconditionError(kOnlyMasks);
  } else if (matches_no_class) {
    review.warnings.push_back(text::StrCat(
        "the label config has no label for any class of the model, so nothing will be written; "
        "its classes are ",
        Listed(models.detector->classes), " (see ./duet label-config, or label_map in a profile)"));
    return review;
  } else if (!writes) {
    review.status = ReviewOfClicks(models);
    if (models.detector != nullptr && taken.empty() && left_out.empty()) {
      review.warnings.push_back(kOnlySmart);
    }
  }
  if (!left_out.empty() && models.detector != nullptr) {
    review.warnings.push_back(text::StrCat(
        "outputs asks for ", left_out,
        ", but the label config has no control of that kind that isn't smart and has a label for a "
        "class of the model; ",
        writes ? text::StrCat("what is written is ", taken) : "nothing is written"));
  }
  return review;
}

std::string Project::Review::Text() const {
  std::string text(status.message());
  for (const std::string& warning : warnings) {
    text::StrAppend(&text, text.empty() ? "" : "; ", warning);
  }
  return text;
}

std::pair<std::string, std::string> Project::SplitOutputs(
    const std::vector<label_studio::EmissionPlan>& plans) const {
  std::pair<std::string, std::string> names;
  for (const label_studio::RegionKind kind : options_.outputs.kinds) {
    const bool taken = std::any_of(plans.begin(), plans.end(),
                                   [kind](const auto& plan) { return plan.CanTake(kind); });
    std::string& names_of = taken ? names.second : names.first;
    text::StrAppend(&names_of, names_of.empty() ? "" : ", ", label_studio::InfoOf(kind).name);
  }
  return names;
}

absl::Status Project::ReviewOfClicks(const ServedModels& models) const {
  const bool chosen = !options_.outputs.kinds.empty();
  absl::Status status = absl::FailedPreconditionError(
      models.detector == nullptr
          ? "this backend URL has no detector (see --detector and --profiles), so it answers smart "
            "tools only, and the label config has none that could be answered"
          : text::StrCat(
                "the label config has no control that predictions could be written into; "
                "needed is one that has labels and isn't smart",
                chosen ? text::StrCat(", of the kinds in outputs, ", settings_.outputs) : ""));
  if (models.segmenter == nullptr) return status;
  for (const label_studio::ImageTag& image : config_->images) {
    if (!config_->has_smart_control(image.name)) continue;
    status = label_studio::CheckAnswerable(*config_, image);
    if (status.ok()) return status;
  }
  return status;
}

std::string Project::AnswersHash(const PlannedConfig& planned, const ServedModels& models) const {
  boost::json::array answers = {settings_.score_threshold, settings_.max_detections.value_or(0)};
  if (settings_.class_agnostic) answers.emplace_back(*settings_.class_agnostic);
  if (settings_.score != Score::kMean) answers.emplace_back(NameOf(settings_.score));
  if (settings_.slice) answers.emplace_back(Describe(*settings_.slice));
  bool masks = false;
  for (const label_studio::EmissionPlan& plan : planned.plans) {
    answers.emplace_back(plan.Describe());
    masks = masks || plan.needs_masks();
  }
  if (masks) answers.emplace_back(UsesOwnMasks(models) ? "own" : NameOf(settings_.degrade));
  return ShortHash(boost::json::serialize(answers));
}

std::string Project::ModelVersion(const ServedModels& models) {
  return models.versions() + PlannedFor(models)->answers_hash;
}

std::size_t Project::memory_bytes() const {
  std::size_t bytes = sizeof(Project) + config_->memory_bytes() + xml_.capacity();
  // Plans, which are made later: of each label, what goes to it, and its names for clicks. Few
  // projects have more than one.
  absl::flat_hash_set<const label_studio::LabelGroup*> groups;
  for (const label_studio::Control& control : config_->controls) {
    for (const auto& group : control.groups) {
      if (control.has_own_labels) bytes += kPlanBytesPerLabel * group->labels.size();
      if (groups.insert(group.get()).second) bytes += kAnswerBytesPerLabel * group->labels.size();
    }
  }
  for (const auto& [from, to] : settings_.label_map) {
    bytes += 2 * (2 * sizeof(std::string) + 32 + from.capacity() + to.capacity());
  }
  return bytes;
}

std::vector<std::string> Project::FirstSeen(const std::string& project_id,
                                            const std::vector<std::string>& texts) {
  std::vector<std::string> first_seen;
  const std::lock_guard lock(mutex_);
  for (const std::string& text : texts) {
    if (reported_.size() < kMaxReported &&
        reported_.insert(hash::Fnv1a(text::StrCat(project_id, "\n", text))).second) {
      first_seen.push_back(text);
    }
  }
  return first_seen;
}

}  // namespace prelabel
