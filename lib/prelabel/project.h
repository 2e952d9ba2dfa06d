// A project as /predict needs it: its parsed label config, its settings, and what a batch writes.
//
// A restart loses nothing for good: /setup, which carries extra_params and Label Studio's address,
// comes before every batch, and the label config comes with every request. So nothing here is
// stored, and what several processes share is their caller's.
#ifndef DUET_PRELABEL_PROJECT_H_
#define DUET_PRELABEL_PROJECT_H_

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "containers/lru.h"
#include "label_studio/label_config.h"
#include "label_studio/result.h"
#include "label_studio_api/label_studio_choice.h"
#include "prelabel/profiles.h"
#include "prelabel/settings.h"

namespace prelabel {

class Project {
 public:
  static absl::StatusOr<std::shared_ptr<Project>> Create(const std::string& label_config,
                                                         const Settings& settings);
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;

  const label_studio::LabelConfig& config() const { return config_; }
  const Settings& settings() const { return settings_; }
  // One an image tag; a plan may be empty.
  const std::vector<label_studio::EmissionPlan>& plans() const { return plans_; }
  bool needs_masks() const;
  // Bytes that it takes, about.
  std::size_t memory_bytes() const;

  // The string that /setup, predictions and background jobs carry: both models' versions, and a
  // hash of those parts of the settings and the label config that change answers. Label Studio asks
  // again for tasks whose predictions carry another one. Thread-safe.
  std::string ModelVersion(const ServedModels& models);

  // Those of `classes` that no call has named before, up to a bound on their number: so that a
  // class without a label is reported once a project. Thread-safe.
  std::vector<std::string> FirstSeen(const std::vector<std::string>& classes);

 private:
  Project(label_studio::LabelConfig config, const Settings& settings)
      : config_(std::move(config)), settings_(settings) {}

  const label_studio::LabelConfig config_;
  const Settings settings_;
  std::vector<label_studio::EmissionPlan> plans_;  // point into config_
  std::mutex mutex_;
  std::set<std::string> reported_;  // guarded by mutex_
  // Of the models that it was last asked for; guarded by mutex_.
  std::shared_ptr<const backends::DetectorModel> hashed_for_;
  std::string answers_hash_;  // "": not made yet; guarded by mutex_
};

// What /setup said about a project.
struct ProjectSetup {
  Settings settings;  // the profile's, refined
  label_studio_api::SetupSite label_studio = {};
  // False if the settings could not be stored for the other gateways: then these are the latest.
  bool shared = true;
};

// The setups of the projects that were used last, within bounds on number and bytes, since anybody
// may name new projects. Thread-safe.
class ProjectMemory {
 public:
  // `key`: profile and project id.
  void Remember(const std::string& key, ProjectSetup setup);
  std::optional<ProjectSetup> Find(const std::string& key);
  void Forget(const std::string& key);

  // The versions that /setup has told projects of this profile, the latest first, up to a bound.
  void Announced(const std::string& profile, const std::string& version);
  std::vector<std::string> Announced(const std::string& profile) const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  containers::Lru<ProjectSetup> setups_{/*max_entries=*/10'000, /*max_bytes=*/64 << 20};
  absl::flat_hash_map<std::string, std::vector<std::string>> announced_;  // one entry a profile
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_H_
