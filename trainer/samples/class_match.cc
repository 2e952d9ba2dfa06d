#include "trainer/samples/class_match.h"

#include <absl/status/status.h>

#include <algorithm>
#include <set>

#include "files/mapped_file.h"
#include "label_studio/label_matcher.h"
#include "text/str_cat.h"

namespace trainer {
namespace {

int IndexOf(const std::string& name, const std::vector<std::string>& names) {
  const auto at = std::find(names.begin(), names.end(), name);
  return at == names.end() ? -1 : static_cast<int>(at - names.begin());
}

}  // namespace

absl::StatusOr<ClassMatch> ClassMatch::Read(const std::string& path) {
  if (path.empty()) return ClassMatch();
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<label_studio::LabelConfig> config =
      label_studio::ParseLabelConfig((*file)->bytes());
  if (!config.ok()) {
    return absl::Status(config.status().code(),
                        text::StrCat(path, ": ", config.status().message()));
  }
  return ClassMatch(*std::move(config));
}

std::vector<std::vector<int>> ClassMatch::ClassesOf(const std::vector<std::string>& model_classes,
                                                    const std::vector<std::string>& classes) const {
  std::vector<std::set<int>> found(model_classes.size());
  if (config_ != nullptr) {
    for (const label_studio::Control& control : config_->controls) {
      for (const label_studio::LabelGroupPtr& group : control.groups) {
        const label_studio::LabelMatcher matcher(*group, {});
        for (std::size_t i = 0; i < found.size(); ++i) {
          const label_studio::Label* const label = matcher.Match(model_classes[i]);
          if (label != nullptr) found[i].insert(IndexOf(label->written(), classes));
        }
      }
    }
  }
  std::vector<std::vector<int>> result;
  for (std::size_t i = 0; i < found.size(); ++i) {
    // Some labels are in the tasks or in old annotations alone.
    if (found[i].empty()) found[i].insert(IndexOf(model_classes[i], classes));
    found[i].erase(-1);
    result.emplace_back(found[i].begin(), found[i].end());
  }
  return result;
}

std::vector<int> ClassMatch::SourcesOf(const std::vector<std::string>& classes,
                                       const std::vector<std::string>& model_classes) const {
  const std::vector<std::vector<int>> stand_for = ClassesOf(model_classes, classes);
  std::vector<int> sources;
  for (const std::string& name : classes) sources.push_back(IndexOf(name, model_classes));
  for (std::size_t i = 0; i < stand_for.size(); ++i) {
    for (const int index : stand_for[i]) {
      int& source = sources[static_cast<std::size_t>(index)];
      if (source < 0) source = static_cast<int>(i);
    }
  }
  return sources;
}

}  // namespace trainer
