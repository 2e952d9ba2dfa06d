#include "gateway/label_studio/label_matcher.h"

#include <absl/strings/ascii.h>

#include <utility>
#include <vector>

#include "gateway/text.h"

namespace gateway::label_studio {
namespace {

std::string Fold(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  for (const char c : text) {
    if (c != ' ' && c != '_' && c != '-') folded.push_back(absl::ascii_tolower(c));
  }
  return folded;
}

}  // namespace

LabelMatcher::LabelMatcher(const Control& control, const LabelMap& label_map) {
  // emplace keeps what is there: the first label wins, and an earlier rule before a later one.
  for (const Label& label : control.labels) exact_.emplace(label.value, label.value);
  for (const Label& label : control.labels) folded_.emplace(Fold(label.value), label.value);
  for (const Label& label : control.labels) {
    if (!label.alias.empty()) folded_.emplace(Fold(label.alias), label.value);
  }
  for (const Label& label : control.labels) {
    for (const std::string& predicted : label.predicted_values) {
      folded_.emplace(Fold(predicted), label.value);
    }
  }
  // Looked up before any is added: an entry of the map never leads to another.
  std::vector<std::pair<std::string, std::string>> mapped;
  for (const auto& [class_name, value] : label_map) {
    if (const auto label = Match(value)) mapped.emplace_back(Fold(class_name), *label);
  }
  folded_.insert(mapped.begin(), mapped.end());
}

std::optional<std::string> LabelMatcher::Match(std::string_view class_name) const {
  if (const auto it = exact_.find(View(class_name)); it != exact_.end()) return it->second;
  if (const auto it = folded_.find(Fold(class_name)); it != folded_.end()) return it->second;
  return std::nullopt;
}

}  // namespace gateway::label_studio
