// The optimizer: AdamW with the exceptions of mmdet's configs.
#ifndef DUET_TRAINER_OPTIMIZATION_ADAMW_H_
#define DUET_TRAINER_OPTIMIZATION_ADAMW_H_

#include <torch/nn/module.h>
#include <torch/optim/adamw.h>

namespace trainer {

// Of every parameter of `module`, once. Biases and everything one-dimensional (norms, tables of
// positions are not) don't decay, as mmdet's paramwise_cfg(norm_decay_mult=0, bias_decay_mult=0,
// bypass_duplicate=True).
torch::optim::AdamW MakeAdamW(const torch::nn::Module& module, double weight_decay,
                              double beta2 = 0.999);

void SetLearningRate(torch::optim::Optimizer& optimizer, double learning_rate);

// Scales the gradients so that their joint norm is at most `max_norm`. Returns the norm before.
double ClipGradients(const torch::nn::Module& module, double max_norm);

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_ADAMW_H_
