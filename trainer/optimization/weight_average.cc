#include "trainer/optimization/weight_average.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstddef>

namespace trainer {

WeightAverage::WeightAverage(const torch::nn::Module& module, const AverageOptions& options)
    : options_(options), average_(StateOf(module)) {
  for (StateTensor& entry : average_) entry.tensor = entry.tensor.detach().clone();
}

void WeightAverage::Update(const torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  const double warm_up = std::exp(-(1.0 + static_cast<double>(updates_)) / options_.gamma);
  // mmengine's BaseAveragedModel copies at its first update.
  const bool first = updates_ == 0;
  const double weight = first ? 1 : options_.momentum + (1 - options_.momentum) * warm_up;
  ++updates_;
  const std::vector<StateTensor> state = StateOf(module);
  for (std::size_t i = 0; i < state.size(); ++i) {
    at::Tensor& average = average_[i].tensor;
    if (state[i].tensor.is_floating_point()) {
      const int times = options_.by_name && !first ? state[i].names : 1;
      for (int time = 0; time < times; ++time) average.lerp_(state[i].tensor, weight);
    } else if (first || !options_.by_name) {
      average.copy_(state[i].tensor);
    }
  }
}

void WeightAverage::CopyTo(torch::nn::Module& module) const {
  const at::NoGradGuard no_grad;
  std::vector<StateTensor> state = StateOf(module);
  for (std::size_t i = 0; i < state.size(); ++i) state[i].tensor.copy_(average_[i].tensor);
}

}  // namespace trainer
