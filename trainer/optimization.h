// The optimizer (AdamW with the exceptions of mmdet's configs), the schedule of the learning rate,
// and the moving average of the weights, which is what is saved.
#ifndef DUET_TRAINER_OPTIMIZATION_H_
#define DUET_TRAINER_OPTIMIZATION_H_

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/optim/adamw.h>

#include <string>
#include <utility>
#include <vector>

namespace trainer {

// Linear warm-up to `peak`, flat until half of the steps, then half a cosine down to `peak` ·
// final_share. RTMDet's schedule (configs/rtmdet/rtmdet_l_8xb32-300e_coco.py: LinearLR, then
// CosineAnnealingLR from half way on).
struct FlatCosineSchedule {
  double peak = 1e-3;
  int steps = 1000;
  int warmup_steps = 100;
  double final_share = 0.05;

  // 0 <= step < steps.
  double LearningRate(int step) const;
};

// Of every parameter of `module`, once. Biases and everything one-dimensional (norms, tables of
// positions are not) don't decay, as mmdet's paramwise_cfg(norm_decay_mult=0, bias_decay_mult=0,
// bypass_duplicate=True).
torch::optim::AdamW MakeAdamW(const torch::nn::Module& module, double weight_decay,
                              double beta2 = 0.999);

void SetLearningRate(torch::optim::Optimizer& optimizer, double learning_rate);

// Scales the gradients so that their joint norm is at most `max_norm`. Returns the norm before.
double ClipGradients(const torch::nn::Module& module, double max_norm);

// ExpMomentumEMA of mmdet: the first update takes the weights as they are; update t (from 0) moves
// the average towards them by momentum + (1 - momentum) · exp(-(1 + t) / gamma): quickly at first,
// slowly later. Batch norm's running statistics are averaged like weights, as
// EMAHook(update_buffers=True) does.
class WeightAverage {
 public:
  WeightAverage(const torch::nn::Module& module, double momentum, double gamma);

  // After an optimizer step.
  void Update(const torch::nn::Module& module);
  // Overwrites the weights of `module`, of the same kind, with the average.
  void CopyTo(torch::nn::Module& module) const;

 private:
  const double momentum_;
  const double gamma_;
  int updates_ = 0;
  std::vector<std::pair<std::string, at::Tensor>> average_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_H_
