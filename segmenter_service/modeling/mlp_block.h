// The feed-forward part that SAM's three networks share.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_MLP_BLOCK_H_
#define DUET_SEGMENTER_SERVICE_MODELING_MLP_BLOCK_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "nn/layers.h"

namespace segmenter {

// lin1, activation, lin2: the transformers' feed-forward part (common.py, MLPBlock).
class MlpBlockImpl : public torch::nn::Module {
 public:
  enum class Activation { kGelu, kRelu };  // GELU is the exact one, by erf
  // Keys "lin1", "lin2" as in SAM, or "layers.0", "layers.1" as in SAM 2.
  enum class Keys { kLin, kLayers };
  MlpBlockImpl(std::int64_t dim, std::int64_t mlp_dim, Activation activation,
               Keys keys = Keys::kLin);
  at::Tensor forward(const at::Tensor& x);

  nn::Linear lin1{nullptr}, lin2{nullptr};

 private:
  const Activation activation_;
};
TORCH_MODULE(MlpBlock);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_MLP_BLOCK_H_
