// The state of a training as a state_dict, so that another process goes on with the same bits. A
// trainer says which of its tensors and counts belong to it; how they are named, checked and put
// back is said here.
#ifndef DUET_TRAINER_OPTIMIZATION_SAVED_STATE_H_
#define DUET_TRAINER_OPTIMIZATION_SAVED_STATE_H_

#include <ATen/core/Tensor.h>
#include <absl/status/status.h>
#include <torch/nn/module.h>
#include <torch/optim/adamw.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "trainer/optimization/module_state.h"
#include "trainer/optimization/weight_average.h"

namespace trainer {

// Those of StateOf(module) that are trained.
std::vector<StateTensor> TrainedOf(const torch::nn::Module& module);

// The joint norm of their gradients; what has none counts as 0.
double GradientNorm(const std::vector<StateTensor>& parameters);

// Collects copies.
class StateWriter {
 public:
  void Add(const std::string& name, const at::Tensor& tensor);
  void Add(const std::string& name, std::int64_t count);
  // average.*, average_updates.
  void Add(const WeightAverage& average);
  // optimizer_steps.*, and first_moment.* and second_moment.* unless that is 0, as it is until a
  // step had a gradient of the parameter.
  void Add(const torch::optim::AdamW& optimizer, const std::vector<StateTensor>& trained);

  checkpoint::StateDict Take() { return std::move(state_); }

 private:
  checkpoint::StateDict state_;
};

// Puts back what StateWriter collected: all of it, or nothing. What is given to it outlives it.
class StateReader {
 public:
  explicit StateReader(const checkpoint::StateDict& state) : state_(state) {}

  bool Has(const std::string& name) const;
  void Read(const std::string& name, const at::Tensor& to);
  void Read(const std::string& name, std::int64_t* to);
  void Read(WeightAverage& average);
  void Read(torch::optim::AdamW& optimizer, const std::vector<StateTensor>& trained);

  // FailedPrecondition, naming the first tensor that is missing or has another shape, with nothing
  // changed. Call once, last.
  absl::Status Apply();

 private:
  struct Moments {
    torch::optim::AdamW* optimizer;
    at::Tensor parameter;
    std::unique_ptr<torch::optim::AdamWParamState> state;  // null before its first step
  };

  at::Tensor Fetch(const std::string& name, at::IntArrayRef shape);
  std::int64_t Count(const std::string& name);

  const checkpoint::StateDict& state_;
  absl::Status status_;
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;  // to, from
  std::vector<std::pair<std::int64_t*, std::int64_t>> counts_;
  std::vector<std::pair<WeightAverage*, std::int64_t>> averages_;  // its updates
  std::vector<Moments> moments_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_SAVED_STATE_H_
