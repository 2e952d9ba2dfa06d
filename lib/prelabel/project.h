// A project as /predict needs it: its parsed label config, its settings, and what a batch writes.
//
// A restart loses nothing for good: /setup, which carries extra_params and Label Studio's address,
// comes before every batch, and the label config comes with every request. So nothing here is
// stored, and what several processes share is their caller's.
#ifndef DUET_PRELABEL_PROJECT_H_
#define DUET_PRELABEL_PROJECT_H_

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "containers/lru.h"
#include "label_studio/answer_plan.h"
#include "label_studio/emission_plan.h"
#include "label_studio/label_config.h"
#include "label_studio_api/label_studio_choice.h"
#include "prelabel/profiles.h"
#include "prelabel/settings.h"

namespace prelabel {

// A label config with what a batch writes into each of its images.
struct PlannedConfig {
  std::shared_ptr<const label_studio::LabelConfig> config;
  std::shared_ptr<const backends::DetectorModel> detector;  // whose classes the plans are for
  std::vector<label_studio::EmissionPlan> plans;            // one an image tag; may be empty
};

class Project {
 public:
  // Why a label config's masks are left out (EmissionPlan::lacks_masks).
  static const char kNoMasks[];

  static absl::StatusOr<std::shared_ptr<Project>> Create(const std::string& label_config,
                                                         const Settings& settings);
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;

  const Settings& settings() const { return settings_; }
  bool has_smart_control() const { return config_->has_smart_control(); }
  bool depends_on_task() const { return config_->depends_on_task; }
  // True if the detector makes masks, and they are wanted.
  bool UsesOwnMasks(const ServedModels& models) const;

  // The label config for a task with this data, and its plan for these models. It is made once for
  // a project, unless the label config depends on the task (LabelConfig::depends_on_task).
  // InvalidArgument if the task's data doesn't fit such a config. Thread-safe.
  absl::StatusOr<std::shared_ptr<const PlannedConfig>> PlanFor(
      const ServedModels& models, const boost::json::object& task_data);
  // Without models: for what doesn't depend on the detector's classes.
  absl::StatusOr<std::shared_ptr<const label_studio::LabelConfig>> ConfigFor(
      const boost::json::object& task_data) const;

  // Where the answers to clicks go. `config`, which is ConfigFor's, outlives the plan. It is made
  // once for a project, as PlanFor's. Thread-safe.
  std::shared_ptr<const label_studio::AnswerPlan> AnswersFor(
      const std::shared_ptr<const label_studio::LabelConfig>& config);

  // What the label config and the settings lack to be of use with these models: an error if no task
  // can ever be answered, warnings if what is found, or what is asked for, has nowhere to go. OK
  // and empty if they lack nothing. Thread-safe.
  struct Review {
    absl::Status status;
    std::vector<std::string> warnings;

    // All that was found, as one text; "" if there is nothing.
    std::string Text() const;
  };
  Review ReviewFor(const ServedModels& models);

  // Bytes that it takes, about.
  std::size_t memory_bytes() const;

  // The string that /setup, predictions and background jobs carry: both models' versions, and a
  // hash of those parts of the settings and the label config that change answers. Label Studio asks
  // again for tasks whose predictions carry another one. Thread-safe.
  std::string ModelVersion(const ServedModels& models);

  // Those of `texts` that no call for this project of Label Studio's has named before, up to a
  // bound on their number: so that a class without a label is reported once a project. Projects
  // with equal label configs and settings share this object. Thread-safe.
  std::vector<std::string> FirstSeen(const std::string& project_id,
                                     const std::vector<std::string>& texts);
  // True for the first call with this text, likewise. Thread-safe.
  bool IsFirst(const std::string& project_id, const std::string& text) {
    return !FirstSeen(project_id, {text}).empty();
  }

 private:
  // For one pair of models.
  static constexpr std::size_t kMaxPlanned = 8;
  struct Planned {
    std::shared_ptr<const PlannedConfig> config;  // the project's own, not a task's
    bool masks_available = false;
    std::string answers_hash;
  };

  Project(std::shared_ptr<const label_studio::LabelConfig> config, std::string xml,
          const Settings& settings, label_studio::EmissionPlan::Options options)
      : config_(std::move(config)),
        xml_(std::move(xml)),
        settings_(settings),
        options_(std::move(options)) {}

  bool MasksAvailable(const ServedModels& models) const;
  std::shared_ptr<const PlannedConfig> Plan(std::shared_ptr<const label_studio::LabelConfig> config,
                                            const ServedModels& models) const;
  std::shared_ptr<const Planned> PlannedFor(const ServedModels& models);
  // Whether smart tools are answered, in a project into which batches write nothing.
  absl::Status ReviewOfClicks(const ServedModels& models) const;
  // Those of the kinds in `outputs` that the label config can't take, "brush, ellipse", and of the
  // kinds that it can.
  std::pair<std::string, std::string> SplitOutputs(
      const std::vector<label_studio::EmissionPlan>& plans) const;
  std::string AnswersHash(const PlannedConfig& planned, const ServedModels& models) const;

  const std::shared_ptr<const label_studio::LabelConfig> config_;
  const std::string xml_;  // "" if the config doesn't depend on the task
  const Settings settings_;
  const label_studio::EmissionPlan::Options options_;  // without masks_available
  std::mutex mutex_;
  absl::flat_hash_set<std::uint64_t> reported_;  // hashes of texts; guarded by mutex_
  // For the models that it was asked for last, the latest first: projects with equal label configs
  // may each have a model of their own. Guarded by mutex_.
  std::vector<std::shared_ptr<const Planned>> planned_;
  std::shared_ptr<const label_studio::AnswerPlan> answers_;  // of config_; guarded by mutex_
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
  explicit ProjectMemory(std::function<absl::Time()> clock = absl::Now)
      : clock_(std::move(clock)) {}

  // `key`: profile and project id.
  void Remember(const std::string& key, ProjectSetup setup);
  std::optional<ProjectSetup> Find(const std::string& key);
  void Forget(const std::string& key);

  // What was found suspect in a project's label config at last (Project::Review); "" for nothing.
  // It is forgotten a day after it was said last, since Label Studio doesn't say when a project is
  // deleted; of very many projects the oldest warnings are. `models`: the versions
  // (ServedModels::versions) that it was found for; "" if it holds for any.
  void SetWarning(const std::string& key, const std::string& warning,
                  const std::string& models = "");
  // Forgets the profile's warnings that were found for other models than those that serve, which
  // have these versions.
  void ForgetOtherWarnings(const std::string& profile, const std::vector<std::string>& models);
  bool HasWarning(const std::string& key) const;
  std::map<std::string, std::string> warnings() const;  // by key

  // The versions that /setup has told projects of this profile, the latest first, up to a bound.
  struct AnnouncedVersion {
    std::string version;
    std::string model_name;  // that the project's models are asked for by
  };
  void Announced(const std::string& profile, const AnnouncedVersion& version);
  std::vector<AnnouncedVersion> Announced(const std::string& profile) const;

 private:
  struct Warning {
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
  std::map<std::string, Warning> warnings_;
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_H_
