#include "gateway/handlers/project.h"

#include <algorithm>
#include <utility>

#include "gateway/text.h"

namespace gateway::handlers {
namespace {

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

std::size_t Project::memory_bytes() const {
  std::size_t bytes = sizeof(Project) + config_.memory_bytes();
  for (const auto& plan : plans_) bytes += sizeof(plan) + plan.memory_bytes();
  for (const auto& [from, to] : settings_.label_map) {
    bytes += 2 * sizeof(std::string) + 32 + from.capacity() + to.capacity();
  }
  return bytes;
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
  const std::size_t bytes = BytesOf(set_up.settings) + set_up.label_studio.bytes();
  set_ups_.Insert(key, std::move(set_up), bytes);
}

std::optional<ProjectMemory::SetUp> ProjectMemory::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const SetUp* const found = set_ups_.Find(key);
  if (found == nullptr) return std::nullopt;
  return *found;
}

void ProjectMemory::Forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  set_ups_.Erase(key);
}

}  // namespace gateway::handlers
