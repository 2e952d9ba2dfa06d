// Which classes of a data set the classes of a model are.
//
// By name alone, a model that has served a Label Studio project well may know none of its classes:
// people see labels, and a label stands for a class by its alias, its predicted_values or another
// spelling as well (label_studio/label_matcher.h). What such a model knows must neither be learned
// from nothing nor be measured as if it found nothing.
#ifndef DUET_TRAINER_SAMPLES_CLASS_MATCH_H_
#define DUET_TRAINER_SAMPLES_CLASS_MATCH_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "label_studio/label_config.h"

namespace trainer {

// Immutable; every call is thread-safe.
class ClassMatch {
 public:
  // By the very name.
  ClassMatch() = default;
  // As what the model finds would be written into regions of a project with this label config; a
  // class for which it has no label by the very name.
  explicit ClassMatch(label_studio::LabelConfig config)
      : config_(std::make_shared<const label_studio::LabelConfig>(std::move(config))) {}
  // The same from a label config's file; "": by the very name. Errors name the file.
  static absl::StatusOr<ClassMatch> Read(const std::string& path);

  bool by_labels() const { return config_ != nullptr; }

  // For each of the model's classes the indices of those of `classes` that it stands for, in
  // ascending order: none, one, or several if controls have different labels for it.
  std::vector<std::vector<int>> ClassesOf(const std::vector<std::string>& model_classes,
                                          const std::vector<std::string>& classes) const;

  // For each of `classes` the index of the model's class that knows most of it: the one of the very
  // name, else the first one that stands for it; -1: none.
  std::vector<int> SourcesOf(const std::vector<std::string>& classes,
                             const std::vector<std::string>& model_classes) const;

 private:
  std::shared_ptr<const label_studio::LabelConfig> config_;  // null: by the very name
};

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_CLASS_MATCH_H_
