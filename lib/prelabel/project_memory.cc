#include "prelabel/project_memory.h"

#include <algorithm>
#include <utility>

namespace prelabel {
namespace {

constexpr std::size_t kMaxAnnounced = 20;  // of one profile
constexpr std::size_t kMaxWarnings = 500;
constexpr absl::Duration kWarningsLast = absl::Hours(24);

}  // namespace

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
  std::erase_if(warnings_, [&](const auto& entry) { return entry.first.first == key; });
  setups_.Erase(key);
}

bool ProjectMemory::SetWarning(const std::string& key, About about, const std::string& warning,
                               const std::string& models) {
  const std::lock_guard lock(mutex_);
  const std::pair part(key, about);
  if (warning.empty()) return warnings_.erase(part) > 0;
  KeptWarning& kept = warnings_[part];
  const bool is_new = kept.text != warning;
  kept = {warning, clock_(), models};
  if (warnings_.size() <= kMaxWarnings) return is_new;
  warnings_.erase(
      std::min_element(warnings_.begin(), warnings_.end(),
                       [](const auto& a, const auto& b) { return a.second.said < b.second.said; }));
  return is_new;
}

void ProjectMemory::ForgetOtherWarnings(const std::string& profile,
                                        const std::vector<std::string>& models) {
  const std::lock_guard lock(mutex_);
  const std::string prefix = profile + "/";  // no profile's name has one
  std::erase_if(warnings_, [&](const auto& entry) {
    const KeptWarning& warning = entry.second;
    return entry.first.first.starts_with(prefix) && !warning.models.empty() &&
           std::find(models.begin(), models.end(), warning.models) == models.end();
  });
}

bool ProjectMemory::HasWarning(const std::string& key, About about) const {
  const std::lock_guard lock(mutex_);
  return warnings_.contains({key, about});
}

std::vector<ProjectMemory::Warning> ProjectMemory::warnings() const {
  const std::lock_guard lock(mutex_);
  std::vector<Warning> warnings;
  for (const auto& [part, warning] : warnings_) {
    if (clock_() - warning.said >= kWarningsLast) continue;
    warnings.push_back({.key = part.first, .about = part.second, .text = warning.text});
  }
  return warnings;
}

void ProjectMemory::Announced(const std::string& profile, const AnnouncedVersion& version) {
  const std::lock_guard lock(mutex_);
  std::vector<AnnouncedVersion>& versions = announced_[profile];
  std::erase_if(versions, [&](const auto& other) { return other.version == version.version; });
  versions.insert(versions.begin(), version);
  if (versions.size() > kMaxAnnounced) versions.pop_back();
}

std::vector<ProjectMemory::AnnouncedVersion> ProjectMemory::Announced(
    const std::string& profile) const {
  const std::lock_guard lock(mutex_);
  const auto found = announced_.find(profile);
  return found == announced_.end() ? std::vector<AnnouncedVersion>() : found->second;
}

}  // namespace prelabel
