#include "trainer/optimization/saved_state.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>
#include <c10/util/string_utils.h>

#include <cmath>

#include "nn/state_dict.h"

namespace trainer {
namespace {

// Where the optimizer keeps a parameter's state.
std::string KeyOf(const at::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

// AdamW's state of a parameter; null before its first step.
const torch::optim::AdamWParamState* MomentsOf(const torch::optim::AdamW& optimizer,
                                               const at::Tensor& parameter) {
  const auto found = optimizer.state().find(KeyOf(parameter));
  if (found == optimizer.state().end()) return nullptr;
  return static_cast<const torch::optim::AdamWParamState*>(found->second.get());
}

}  // namespace

std::vector<StateTensor> TrainedOf(const torch::nn::Module& module) {
  std::vector<StateTensor> trained = StateOf(module);
  std::erase_if(trained, [](const StateTensor& entry) { return !entry.tensor.requires_grad(); });
  return trained;
}

double GradientNorm(const std::vector<StateTensor>& parameters) {
  double sum = 0;
  for (const StateTensor& parameter : parameters) {
    if (!parameter.tensor.grad().defined()) continue;
    const double norm = parameter.tensor.grad().norm().item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

void StateWriter::Add(const std::string& name, const at::Tensor& tensor) {
  state_.emplace_back(name, *nn::ToTensorView(tensor.detach().clone()));
}

void StateWriter::Add(const std::string& name, std::int64_t count) {
  Add(name, at::scalar_tensor(count, at::kLong));
}

void StateWriter::Add(const WeightAverage& average) {
  for (const StateTensor& entry : average.state()) Add("average." + entry.name, entry.tensor);
  Add("average_updates", average.updates());
}

void StateWriter::Add(const torch::optim::AdamW& optimizer,
                      const std::vector<StateTensor>& trained) {
  for (const StateTensor& entry : trained) {
    const torch::optim::AdamWParamState* const moments = MomentsOf(optimizer, entry.tensor);
    Add("optimizer_steps." + entry.name, moments == nullptr ? 0 : moments->step());
    if (moments == nullptr) continue;
    Add("first_moment." + entry.name, moments->exp_avg());
    Add("second_moment." + entry.name, moments->exp_avg_sq());
  }
}

bool StateReader::Has(const std::string& name) const {
  return checkpoint::Find(state_, name) != nullptr;
}

at::Tensor StateReader::Fetch(const std::string& name, at::IntArrayRef shape) {
  if (!status_.ok()) return {};
  const checkpoint::TensorView* const view = checkpoint::Find(state_, name);
  if (view == nullptr) {
    status_ = absl::FailedPreconditionError(absl::StrCat("the training's state has no ", name));
    return {};
  }
  if (view->shape != shape.vec()) {
    status_ = absl::FailedPreconditionError(
        absl::StrCat("the training's state has ", name, " of shape ", nn::ShapeString(view->shape),
                     "; this training's is ", nn::ShapeString(shape.vec())));
    return {};
  }
  return nn::ToTensor(*view);
}

std::int64_t StateReader::Count(const std::string& name) {
  const at::Tensor count = Fetch(name, {});
  return count.defined() ? count.item<std::int64_t>() : 0;
}

void StateReader::Read(const std::string& name, const at::Tensor& to) {
  at::Tensor from = Fetch(name, to.sizes());
  if (from.defined()) tensors_.emplace_back(to, std::move(from));
}

void StateReader::Read(const std::string& name, std::int64_t* to) {
  counts_.emplace_back(to, Count(name));
}

void StateReader::Read(WeightAverage& average) {
  for (const StateTensor& entry : average.state()) Read("average." + entry.name, entry.tensor);
  averages_.emplace_back(&average, Count("average_updates"));
}

void StateReader::Read(torch::optim::AdamW& optimizer, const std::vector<StateTensor>& trained) {
  for (const StateTensor& entry : trained) {
    Moments moments{&optimizer, entry.tensor, nullptr};
    if (const std::int64_t steps = Count("optimizer_steps." + entry.name); steps > 0) {
      moments.state = std::make_unique<torch::optim::AdamWParamState>();
      moments.state->step(steps);
      moments.state->exp_avg(at::empty_like(entry.tensor));
      moments.state->exp_avg_sq(at::empty_like(entry.tensor));
      Read("first_moment." + entry.name, moments.state->exp_avg());
      Read("second_moment." + entry.name, moments.state->exp_avg_sq());
    }
    moments_.push_back(std::move(moments));
  }
}

absl::Status StateReader::Apply() {
  if (!status_.ok()) return status_;
  const at::NoGradGuard no_grad;
  for (auto& [to, from] : tensors_) to.copy_(from);
  for (const auto& [to, count] : counts_) *to = count;
  for (const auto& [average, updates] : averages_) average->set_updates(updates);
  for (Moments& moments : moments_) {
    moments.optimizer->state().erase(KeyOf(moments.parameter));
    if (moments.state != nullptr)
      moments.optimizer->state()[KeyOf(moments.parameter)] = std::move(moments.state);
  }
  return absl::OkStatus();
}

}  // namespace trainer
