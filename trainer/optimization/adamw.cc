#include "trainer/optimization/adamw.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "trainer/optimization/module_state.h"

namespace trainer {

torch::optim::AdamW MakeAdamW(const torch::nn::Module& module, double weight_decay, double beta2) {
  std::vector<at::Tensor> decayed;
  std::vector<at::Tensor> free;
  for (const auto& [name, tensor, names] : StateOf(module)) {
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
  for (const auto& [name, tensor, names] : StateOf(module)) {
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

}  // namespace trainer
