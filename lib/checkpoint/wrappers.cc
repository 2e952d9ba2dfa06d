#include "checkpoint/wrappers.h"

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <vector>

#include "text/str_cat.h"

namespace checkpoint {
namespace {

constexpr std::string_view kTransparent[] = {"module", "_orig_mod", "_fsdp_wrapped_module",
                                             "_checkpoint_wrapped_module"};

// `name` without the components that wrappers leave within it.
std::string WithoutTransparent(const std::string& name) {
  std::vector<std::string> components = absl::StrSplit(name, '.');
  std::erase_if(components, [](const std::string& component) {
    return std::find(std::begin(kTransparent), std::end(kTransparent), component) !=
           std::end(kTransparent);
  });
  return absl::StrJoin(components, ".");
}

// The beginnings of names before an anchor.
std::set<std::string> PrefixesOf(std::span<const std::string_view> anchors,
                                 const std::vector<std::string>& names) {
  std::set<std::string> prefixes;
  for (const std::string& name : names) {
    for (std::size_t begin = 0, end; (end = name.find('.', begin)) != std::string::npos;
         begin = end + 1) {
      const std::string_view component = std::string_view(name).substr(begin, end - begin);
      if (std::find(anchors.begin(), anchors.end(), component) != anchors.end()) {
        prefixes.insert(name.substr(0, begin));
        break;
      }
    }
  }
  return prefixes;
}

}  // namespace

absl::StatusOr<std::string> RemoveWrappers(std::span<const std::string_view> anchors,
                                           StateDict* state_dict) {
  std::vector<std::string> names;
  names.reserve(state_dict->size());
  for (const auto& [name, view] : *state_dict) names.push_back(WithoutTransparent(name));
  const std::set<std::string> prefixes = PrefixesOf(anchors, names);
  if (prefixes.size() > 1 && !prefixes.contains("")) {
    constexpr std::size_t kShown = 3;
    const auto end = std::next(prefixes.begin(), std::min(prefixes.size(), kShown));
    return absl::InvalidArgumentError(text::StrCat(
        "the file holds ", prefixes.size(), " networks, under '",
        absl::StrJoin(prefixes.begin(), end, "', '"),
        prefixes.size() > kShown ? "' and others" : "'", "; save the one that is meant by itself"));
  }
  const std::string prefix = prefixes.empty() || prefixes.contains("") ? "" : *prefixes.begin();

  for (std::string& name : names) {
    if (name.starts_with(prefix)) name.erase(0, prefix.size());
  }
  // What keeps its name has it first.
  absl::flat_hash_set<std::string> taken;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == (*state_dict)[i].first) taken.insert(names[i]);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string& name = (*state_dict)[i].first;
    if (names[i] == name) continue;
    if (taken.insert(names[i]).second) {
      name = std::move(names[i]);
    } else if (!taken.insert(name).second) {
      return absl::InvalidArgumentError(text::StrCat("two tensors named '", name, "'"));
    }
  }
  return prefix;
}

}  // namespace checkpoint
