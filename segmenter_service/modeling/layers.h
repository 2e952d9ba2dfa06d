// Small layers that SAM's three networks share. Child names equal the keys of upstream's
// state_dict.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_LAYERS_H_
#define DUET_SEGMENTER_SERVICE_MODELING_LAYERS_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "nn/layers.h"

namespace segmenter {

// Normalises each pixel of [B, C, H, W] over its channels; biased variance.
class LayerNorm2dImpl : public torch::nn::Module {
 public:
  explicit LayerNorm2dImpl(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x);

  at::Tensor weight, bias;  // [C]
};
TORCH_MODULE(LayerNorm2d);

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

#endif  // DUET_SEGMENTER_SERVICE_MODELING_LAYERS_H_
