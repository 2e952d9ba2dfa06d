// A project as /predict needs it: its parsed label config, the settings in force, and what a batch
// emits.
//
// Nothing here is state that a restart loses for good: /setup, which carries extra_params and Label
// Studio's address, comes before every batch anyway, and the label config comes with every request.
// What several gateways remember together is in settings_store.h.
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
  // One an image tag; may be empty.
  const std::vector<label_studio::EmissionPlan>& plans() const { return plans_; }
  bool needs_masks() const;
  // Bytes that it takes, about.
  std::size_t memory_bytes() const;

  // The string that /setup, predictions and background jobs carry: both models' versions and a hash
  // of what of the settings and of the label config decides about answers. Label Studio asks again
  // for tasks whose predictions carry another one. Thread-safe.
  std::string ModelVersion(const ServedModels& models);

  // Those of `classes` that are news to this project: a class without a label is reported once.
  // Thread-safe.
  std::vector<std::string> TakeNews(const std::vector<std::string>& classes);

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

// What /setup said about a project: the last used ones, within bounds on number and bytes, since
// anybody may name new ones. Thread-safe.
class ProjectMemory {
 public:
  struct SetUp {
    Settings settings;  // the profile's, refined
    label_studio_api::TaughtSite label_studio = {};
    bool shared = true;  // other gateways may know better; not if they could not be told of these
  };

  // `key`: profile and project id.
  void Remember(const std::string& key, SetUp set_up);
  std::optional<SetUp> Find(const std::string& key);
  void Forget(const std::string& key);

  // The versions that /setup has announced to projects of this profile, the latest first; a few.
  void Announced(const std::string& profile, const std::string& version);
  std::vector<std::string> Announced(const std::string& profile) const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  containers::Lru<SetUp> set_ups_{/*max_entries=*/10'000, /*max_bytes=*/64 << 20};
  absl::flat_hash_map<std::string, std::vector<std::string>> announced_;  // one entry a profile
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_H_
