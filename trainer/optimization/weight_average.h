// The moving average of a network's weights, which is what is saved.
#ifndef DUET_TRAINER_OPTIMIZATION_WEIGHT_AVERAGE_H_
#define DUET_TRAINER_OPTIMIZATION_WEIGHT_AVERAGE_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "trainer/optimization/module_state.h"

namespace trainer {

struct AverageOptions {
  double momentum = 0.0002;
  double gamma = 2000;
  // mmengine goes through the names of a state, not its tensors: it moves a tensor once for each of
  // its names, so the head's shared convolutions faster than the rest; and counts, such as
  // num_batches_tracked, stay as the first update found them. False: every tensor once, and counts
  // are taken.
  bool by_name = true;
};

// ExpMomentumEMA of mmdet: the first update takes the weights as they are; update t (from 0) moves
// the average towards them by momentum + (1 - momentum) · exp(-(1 + t) / gamma): quickly at first,
// slowly later. Batch norm's running statistics are averaged like weights, as
// EMAHook(update_buffers=True) does.
class WeightAverage {
 public:
  WeightAverage(const torch::nn::Module& module, const AverageOptions& options);

  // After an optimizer step. REQUIRES: the module of the constructor, or one of its kind.
  void Update(const torch::nn::Module& module);
  // Overwrites the weights of `module`, of the same kind, with the average.
  void CopyTo(torch::nn::Module& module) const;

  // To go on where another one was: the average's own tensors, to be overwritten, and how many
  // updates there were.
  const std::vector<StateTensor>& state() const { return average_; }
  std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }

 private:
  const AverageOptions options_;
  std::int64_t updates_ = 0;
  std::vector<StateTensor> average_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_WEIGHT_AVERAGE_H_
