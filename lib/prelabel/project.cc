#include "prelabel/project.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "text/str_cat.h"

namespace prelabel {
namespace {

constexpr std::size_t kMaxReported = 1000;
constexpr std::size_t kMaxAnnounced = 20;  // of one profile

}  // namespace

absl::StatusOr<std::shared_ptr<Project>> Project::Create(const std::string& label_config,
                                                         const Settings& settings) {
  auto config = label_studio::ParseLabelConfig(label_config);
  if (!config.ok()) return config.status();
  const auto outputs = label_studio::ParseOutputs(settings.outputs);
  if (!outputs.ok()) return outputs.status();
  label_studio::LabelMap label_map(settings.label_map.begin(), settings.label_map.end());
  std::shared_ptr<Project> project(new Project(*std::move(config), settings));
  for (const label_studio::ImageTag& image : project->config_.images) {
    project->plans_.push_back(
        label_studio::EmissionPlan::Make(project->config_, image, *outputs, label_map));
  }
  return project;
}

bool Project::needs_masks() const {
  return std::any_of(plans_.begin(), plans_.end(),
                     [](const auto& plan) { return plan.needs_masks(); });
}

std::string Project::ModelVersion(const ServedModels& models) {
  const std::lock_guard lock(mutex_);
  if (answers_hash_.empty() || hashed_for_ != models.detector) {
    static const std::vector<std::string> kNoClasses;
    // Batches write the detector's objects only, so other classes change no prediction.
    const auto& classes = models.detector ? models.detector->classes : kNoClasses;
    boost::json::array answers = {settings_.score_threshold, settings_.max_detections.value_or(0)};
    bool masks = false;
    for (const label_studio::EmissionPlan& plan : plans_) {
      answers.emplace_back(plan.Describe(classes));
      masks = masks || plan.needs_masks();
    }
    if (masks) {
      const bool own = models.detector && models.detector->has_masks &&
                       settings_.mask_source != MaskSource::kSam;
      answers.emplace_back(own ? "own" : NameOf(settings_.degrade));
    }
    answers_hash_ = ShortHash(boost::json::serialize(answers));
    hashed_for_ = models.detector;
  }
  return models.versions() + answers_hash_;
}

std::size_t Project::memory_bytes() const {
  std::size_t bytes = sizeof(Project) + config_.memory_bytes();
  for (const auto& plan : plans_) bytes += sizeof(plan) + plan.memory_bytes();
  for (const auto& [from, to] : settings_.label_map) {
    bytes += 2 * sizeof(std::string) + 32 + from.capacity() + to.capacity();
  }
  return bytes;
}

std::vector<std::string> Project::FirstSeen(const std::vector<std::string>& classes) {
  std::vector<std::string> first_seen;
  const std::lock_guard lock(mutex_);
  for (const std::string& name : classes) {
    if (reported_.size() < kMaxReported && reported_.insert(name).second)
      first_seen.push_back(name);
  }
  return first_seen;
}

void ProjectMemory::Remember(const std::string& key, ProjectSetup setup) {
  const std::lock_guard lock(mutex_);
  const std::size_t bytes = BytesOf(setup.settings) + setup.label_studio.bytes();
  setups_.Insert(key, std::move(setup), bytes);
}

std::optional<ProjectSetup> ProjectMemory::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const ProjectSetup* const found = setups_.Find(key);
  if (found == nullptr) return std::nullopt;
  return *found;
}

void ProjectMemory::Forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  setups_.Erase(key);
}

void ProjectMemory::Announced(const std::string& profile, const std::string& version) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string>& versions = announced_[profile];
  std::erase(versions, version);
  versions.insert(versions.begin(), version);
  if (versions.size() > kMaxAnnounced) versions.pop_back();
}

std::vector<std::string> ProjectMemory::Announced(const std::string& profile) const {
  const std::lock_guard lock(mutex_);
  const auto found = announced_.find(profile);
  return found == announced_.end() ? std::vector<std::string>() : found->second;
}

}  // namespace prelabel
