// The tensors behind a module.
#ifndef DUET_TRAINER_OPTIMIZATION_MODULE_STATE_H_
#define DUET_TRAINER_OPTIMIZATION_MODULE_STATE_H_

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <vector>

namespace trainer {

struct StateTensor {
  std::string name;   // its first
  at::Tensor tensor;  // the module's own
  int names = 1;      // how many it has: the head's shared convolutions have several
};

// The parameters, then the buffers, each tensor once.
std::vector<StateTensor> StateOf(const torch::nn::Module& module);

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_MODULE_STATE_H_
