#include "trainer/optimization.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

namespace trainer {
namespace {

// The tensors behind the module, each once: the head's shared convolutions have several names.
std::vector<std::pair<std::string, at::Tensor>> StateOf(const torch::nn::Module& module) {
  std::set<const at::TensorImpl*> seen;
  std::vector<std::pair<std::string, at::Tensor>> state;
  const auto add = [&](const auto& named) {
    for (const auto& item : named) {
      if (seen.insert(item.value().unsafeGetTensorImpl()).second)
        state.emplace_back(item.key(), item.value());
    }
  };
  add(module.named_parameters());
  add(module.named_buffers());
  return state;
}

}  // namespace

double FlatCosineSchedule::LearningRate(int step) const {
  if (step < warmup_steps) return peak * (step + 1) / warmup_steps;
  const int fall = std::max(1, steps - steps / 2);
  const double progress = std::clamp(static_cast<double>(step - steps / 2) / fall, 0.0, 1.0);
  return peak *
         (final_share + (1 - final_share) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

torch::optim::AdamW MakeAdamW(const torch::nn::Module& module, double weight_decay, double beta2) {
  std::vector<at::Tensor> decayed;
  std::vector<at::Tensor> free;
  for (const auto& [name, tensor] : StateOf(module)) {
    if (!tensor.requires_grad()) continue;
    (tensor.dim() <= 1 ? free : decayed).push_back(tensor);
  }
  using torch::optim::AdamWOptions;
  std::vector<torch::optim::OptimizerParamGroup> groups;
  const auto options = [&](double decay) {
    return std::make_unique<AdamWOptions>(AdamWOptions().weight_decay(decay).betas({0.9, beta2}));
  };
  groups.emplace_back(decayed, options(weight_decay));
  groups.emplace_back(free, options(0));
  return torch::optim::AdamW(std::move(groups));
}

void SetLearningRate(torch::optim::Optimizer& optimizer, double learning_rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(learning_rate);
}

double ClipGradients(const torch::nn::Module& module, double max_norm) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, tensor] : StateOf(module)) {
    if (tensor.grad().defined()) gradients.push_back(tensor.grad());
  }
  double sum = 0;
  for (const at::Tensor& gradient : gradients) sum += gradient.square().sum().item<double>();
  const double norm = std::sqrt(sum);
  if (norm > max_norm) {
    for (at::Tensor& gradient : gradients) gradient.mul_(max_norm / norm);
  }
  return norm;
}

WeightAverage::WeightAverage(const torch::nn::Module& module, double momentum, double gamma)
    : momentum_(momentum), gamma_(gamma) {
  for (const auto& [name, tensor] : StateOf(module))
    average_.emplace_back(name, tensor.detach().clone());
}

void WeightAverage::Update(const torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  const double warm_up = std::exp(-(1.0 + updates_) / gamma_);
  // mmengine's BaseAveragedModel copies at its first update.
  const double weight = updates_ == 0 ? 1 : momentum_ + (1 - momentum_) * warm_up;
  ++updates_;
  const auto state = StateOf(module);
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (state[i].second.is_floating_point()) {
      average_[i].second.lerp_(state[i].second, weight);
    } else {
      average_[i].second.copy_(state[i].second);
    }
  }
}

void WeightAverage::CopyTo(torch::nn::Module& module) const {
  const at::NoGradGuard no_grad;
  const auto state = StateOf(module);
  for (std::size_t i = 0; i < state.size(); ++i)
    at::Tensor(state[i].second).copy_(average_[i].second);
}

}  // namespace trainer
