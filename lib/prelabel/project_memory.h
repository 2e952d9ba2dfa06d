// What a gateway remembers of the projects that Label Studio has set up with it. A restart loses
// nothing for good (project.h).
#ifndef DUET_PRELABEL_PROJECT_MEMORY_H_
#define DUET_PRELABEL_PROJECT_MEMORY_H_

#include <absl/container/flat_hash_map.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "containers/lru.h"
#include "label_studio_api/label_studio_choice.h"
#include "prelabel/settings.h"

namespace prelabel {

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
  explicit ProjectMemory(std::function<absl::Time()> clock = absl::Now)
      : clock_(std::move(clock)) {}

  // `key`: profile and project id.
  void Remember(const std::string& key, ProjectSetup setup);
  std::optional<ProjectSetup> Find(const std::string& key);
  void Forget(const std::string& key);

  // What a warning is about: each of a project's parts has one of its own.
  enum class About {
    kExtraParams,  // refused, or with keys that look misspelt
    kLabelConfig,  // Project::Review
  };
  // What was found suspect in that part of a project at last; "" for nothing. It is forgotten a day
  // after it was said last, since Label Studio doesn't say when a project is deleted; of very many
  // projects the oldest warnings are. `models`: the versions (ServedModels::versions) that it was
  // found for; "" if it holds for any. Returns whether it is another than the one before.
  bool SetWarning(const std::string& key, About about, const std::string& warning,
                  const std::string& models = "");
  // Forgets the profile's warnings that were found for other models than those that serve, which
  // have these versions.
  void ForgetOtherWarnings(const std::string& profile, const std::vector<std::string>& models);
  bool HasWarning(const std::string& key, About about) const;
  struct Warning {
    std::string key;
    About about = About::kLabelConfig;
    std::string text;
  };
  std::vector<Warning> warnings() const;  // ordered by key

  // The versions that /setup has told projects of this profile, the latest first, up to a bound.
  struct AnnouncedVersion {
    std::string version;
    std::string model_name;  // that the project's models are asked for by
  };
  void Announced(const std::string& profile, const AnnouncedVersion& version);
  std::vector<AnnouncedVersion> Announced(const std::string& profile) const;

 private:
  struct KeptWarning {
    std::string text;
    absl::Time said;
    std::string models;
  };

  const std::function<absl::Time()> clock_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  containers::Lru<ProjectSetup> setups_{/*max_entries=*/10'000, /*max_bytes=*/64 << 20};
  // One entry a profile.
  absl::flat_hash_map<std::string, std::vector<AnnouncedVersion>> announced_;
  std::map<std::pair<std::string, About>, KeptWarning> warnings_;
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_MEMORY_H_
