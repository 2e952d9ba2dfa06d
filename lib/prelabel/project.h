// A project as /predict needs it: its parsed label config, its settings, and what a batch writes.
//
// A restart loses nothing for good: /setup, which carries extra_params and Label Studio's address,
// comes before every batch, and the label config comes with every request. So nothing here is
// stored, and what several processes share is their caller's.
#ifndef DUET_PRELABEL_PROJECT_H_
#define DUET_PRELABEL_PROJECT_H_

#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "label_studio/answer_plan.h"
#include "label_studio/emission_plan.h"
#include "label_studio/label_config.h"
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

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_H_
