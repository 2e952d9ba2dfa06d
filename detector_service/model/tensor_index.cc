#include "detector_service/model/tensor_index.h"

#include <string>

namespace detector {
namespace {

constexpr int kMaxChannels = 1 << 14;

}  // namespace

TensorIndex::TensorIndex(const checkpoint::StateDict& state_dict) {
  for (const auto& [name, view] : state_dict) by_name_.emplace(name, &view);
}

const checkpoint::TensorView* TensorIndex::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

bool TensorIndex::HasPrefix(std::string_view prefix) const {
  const auto next = by_name_.lower_bound(prefix);
  return next != by_name_.end() && next->first.substr(0, prefix.size()) == prefix;
}

int TensorIndex::OutChannels(std::string_view name) const {
  const checkpoint::TensorView* view = Find(std::string(name) + ".weight");
  if (view == nullptr || view->shape.size() != 4) return 0;
  if (view->shape[0] < 1 || view->shape[0] > kMaxChannels) return 0;
  return static_cast<int>(view->shape[0]);
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

}  // namespace detector
