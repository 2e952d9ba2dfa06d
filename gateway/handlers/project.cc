#include "gateway/handlers/project.h"

#include <algorithm>
#include <utility>

#include "gateway/text.h"

namespace gateway::handlers {
namespace {

// More projects than one gateway sees at a time. A full table is emptied: it fills again by itself.
constexpr std::size_t kMaxSetUps = 10'000;
constexpr std::size_t kMaxProjects = 200;
constexpr std::size_t kMaxReported = 1000;

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

std::vector<std::string> Project::TakeNews(const std::vector<std::string>& classes) {
  std::vector<std::string> news;
  const std::lock_guard lock(mutex_);
  for (const std::string& name : classes) {
    if (reported_.size() < kMaxReported && reported_.insert(name).second) news.push_back(name);
  }
  return news;
}

void ProjectMemory::Remember(const std::string& key, SetUp set_up) {
  const std::lock_guard lock(mutex_);
  if (set_ups_.size() >= kMaxSetUps && !set_ups_.contains(key)) set_ups_.clear();
  set_ups_.insert_or_assign(key, std::move(set_up));
}

std::optional<ProjectMemory::SetUp> ProjectMemory::Find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = set_ups_.find(key);
  if (found == set_ups_.end()) return std::nullopt;
  return found->second;
}

void ProjectMemory::Forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  set_ups_.erase(key);
}

absl::StatusOr<std::shared_ptr<Project>> ProjectMemory::Get(const std::string& label_config,
                                                            const Settings& settings) {
  const std::string key = StrCat(Fingerprint(settings), label_config);
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = projects_.find(key); found != projects_.end()) return found->second;
  }
  auto project = Project::Create(label_config, settings);
  if (!project.ok()) return project.status();
  const std::lock_guard lock(mutex_);
  if (projects_.size() >= kMaxProjects) projects_.clear();
  projects_.insert_or_assign(key, *project);
  return project;
}

}  // namespace gateway::handlers
