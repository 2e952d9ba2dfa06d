#include "checkpoint/tensor_index.h"

#include <absl/strings/numbers.h>
#include <absl/strings/string_view.h>

#include <algorithm>
#include <string>

namespace checkpoint {
namespace {

constexpr int kMaxChannels = 1 << 14;

}  // namespace

TensorIndex::TensorIndex(const StateDict& state_dict) {
  for (const auto& [name, view] : state_dict) by_name_.emplace(name, &view);
}

const TensorView* TensorIndex::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

bool TensorIndex::HasPrefix(std::string_view prefix) const {
  const auto next = by_name_.lower_bound(prefix);
  return next != by_name_.end() && next->first.starts_with(prefix);
}

int TensorIndex::Count(std::string_view prefix, std::string_view suffix) const {
  int count = 0;
  while (Has(std::string(prefix) + std::to_string(count) + std::string(suffix))) ++count;
  return count;
}

int TensorIndex::Count(std::string_view prefix) const {
  int count = 0;
  while (HasPrefix(std::string(prefix) + std::to_string(count) + ".")) ++count;
  return count;
}

std::int64_t TensorIndex::CountIndexed(std::string_view prefix) const {
  std::int64_t count = 0;
  for (auto it = by_name_.lower_bound(prefix);
       it != by_name_.end() && it->first.starts_with(prefix); ++it) {
    const std::string_view rest = it->first.substr(prefix.size());
    const std::string_view number = rest.substr(0, rest.find('.'));
    std::int64_t index = 0;
    if (absl::SimpleAtoi(absl::string_view(number.data(), number.size()), &index) && index >= 0 &&
        index < static_cast<std::int64_t>(by_name_.size())) {
      count = std::max(count, index + 1);
    }
  }
  return count;
}

int TensorIndex::OutChannels(std::string_view conv) const {
  const TensorView* view = Find(std::string(conv) + ".weight");
  if (view == nullptr || view->shape.size() != 4) return 0;
  if (view->shape[0] < 1 || view->shape[0] > kMaxChannels) return 0;
  return static_cast<int>(view->shape[0]);
}

}  // namespace checkpoint
