#include "label_studio/label_matcher.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <compare>
#include <tuple>
#include <utility>

namespace label_studio {
namespace {

// Compares as if case, spaces, underscores and hyphens were not there.
std::strong_ordering CompareFolded(std::string_view a, std::string_view b) {
  const auto skip = [](std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(" _-"), text.size()));
  };
  for (;;) {
    skip(a);
    skip(b);
    if (a.empty() || b.empty()) return !a.empty() <=> !b.empty();
    const auto order = absl::ascii_tolower(static_cast<unsigned char>(a.front())) <=>
                       absl::ascii_tolower(static_cast<unsigned char>(b.front()));
    if (order != 0) return order;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
}

}  // namespace

LabelMatcher::LabelMatcher(const LabelGroup& group, const LabelMap& label_map)
    : labels_(group.labels) {
  const auto count = static_cast<std::uint32_t>(labels_.size());
  by_value_.reserve(count);
  std::size_t names = count;
  for (const Label& label : labels_) names += !label.alias.empty() + label.predicted_values.size();
  by_name_.reserve(names);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Label& label = labels_[i];
    if (!label.value.empty()) {
      by_value_.push_back(i);
      by_name_.push_back({i, 0});
    }
    if (!label.alias.empty()) by_name_.push_back({i, 1});
    for (std::uint32_t k = 0; k < label.predicted_values.size(); ++k)
      by_name_.push_back({i, k + 2});
  }
  // Of equal texts, the one that wins comes first: that of the earlier rule, then of the earlier
  // label.
  std::sort(by_value_.begin(), by_value_.end(), [this](std::uint32_t a, std::uint32_t b) {
    const int order = labels_[a].value.compare(labels_[b].value);
    return order != 0 ? order < 0 : a < b;
  });
  std::sort(by_name_.begin(), by_name_.end(), [this](const Name& a, const Name& b) {
    const auto order = CompareFolded(TextOf(a), TextOf(b));
    if (order != 0) return order < 0;
    return std::tuple(std::min(a.which, 2u), a.label, a.which) <
           std::tuple(std::min(b.which, 2u), b.label, b.which);
  });
  // Looked up before any is added: an entry of the map never leads to another.
  std::vector<std::pair<std::string, std::uint32_t>> mapped;
  for (const auto& [class_name, value] : label_map) {
    if (const auto label = Find(value)) mapped.emplace_back(class_name, *label);
  }
  std::sort(mapped.begin(), mapped.end(), [](const auto& a, const auto& b) {
    const auto order = CompareFolded(a.first, b.first);
    return order != 0 ? order < 0 : a < b;
  });
  mapped_ = std::move(mapped);
}

std::string_view LabelMatcher::TextOf(const Name& name) const {
  const Label& label = labels_[name.label];
  if (name.which == 0) return label.value;
  if (name.which == 1) return label.alias;
  return label.predicted_values[name.which - 2];
}

std::optional<std::uint32_t> LabelMatcher::Find(std::string_view class_name) const {
  const auto exact = std::lower_bound(
      by_value_.begin(), by_value_.end(), class_name,
      [this](std::uint32_t label, std::string_view name) { return labels_[label].value < name; });
  if (exact != by_value_.end() && labels_[*exact].value == class_name) return *exact;
  const auto named = std::lower_bound(by_name_.begin(), by_name_.end(), class_name,
                                      [this](const Name& name, std::string_view text) {
                                        return CompareFolded(TextOf(name), text) < 0;
                                      });
  if (named != by_name_.end() && CompareFolded(TextOf(*named), class_name) == 0) {
    return named->label;
  }
  const auto mapped = std::lower_bound(mapped_.begin(), mapped_.end(), class_name,
                                       [](const auto& entry, std::string_view text) {
                                         return CompareFolded(entry.first, text) < 0;
                                       });
  if (mapped != mapped_.end() && CompareFolded(mapped->first, class_name) == 0) {
    return mapped->second;
  }
  return std::nullopt;
}

const Label* LabelMatcher::Match(std::string_view class_name) const {
  const std::optional<std::uint32_t> label = Find(class_name);
  return label ? &labels_[*label] : nullptr;
}

template <typename Accept>
const Label* LabelMatcher::FirstNamed(std::string_view text, Accept accept) const {
  auto named = std::lower_bound(by_name_.begin(), by_name_.end(), text,
                                [this](const Name& name, std::string_view wanted) {
                                  return CompareFolded(TextOf(name), wanted) < 0;
                                });
  std::optional<std::uint32_t> first;
  for (; named != by_name_.end() && CompareFolded(TextOf(*named), text) == 0; ++named) {
    if ((!first || named->label < *first) && accept(labels_[named->label])) first = named->label;
  }
  return first ? &labels_[*first] : nullptr;
}

const Label* LabelMatcher::FindWritten(std::string_view text) const {
  return FirstNamed(text, [text](const Label& label) { return label.written() == text; });
}

const Label* LabelMatcher::FindWrittenOrValue(std::string_view text) const {
  return FirstNamed(
      text, [text](const Label& label) { return label.written() == text || label.value == text; });
}

}  // namespace label_studio
