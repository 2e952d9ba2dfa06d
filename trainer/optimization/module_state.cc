#include "trainer/optimization/module_state.h"

#include <cstddef>
#include <map>

namespace trainer {

std::vector<StateTensor> StateOf(const torch::nn::Module& module) {
  std::map<const at::TensorImpl*, std::size_t> places;
  std::vector<StateTensor> state;
  const auto add = [&](const auto& named) {
    for (const auto& item : named) {
      const auto [place, added] = places.emplace(item.value().unsafeGetTensorImpl(), state.size());
      if (added) {
        state.push_back({item.key(), item.value()});
      } else {
        ++state[place->second].names;
      }
    }
  };
  add(module.named_parameters());
  add(module.named_buffers());
  return state;
}

}  // namespace trainer
