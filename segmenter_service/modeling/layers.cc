#include "segmenter_service/modeling/layers.h"

#include <ATen/Functions.h>
#include <torch/nn/modules/container/modulelist.h>

namespace segmenter {

LayerNorm2dImpl::LayerNorm2dImpl(std::int64_t channels)
    : weight(register_parameter("weight", at::ones({channels}))),
      bias(register_parameter("bias", at::zeros({channels}))) {}

at::Tensor LayerNorm2dImpl::forward(const at::Tensor& x) {
  return at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, /*eps=*/1e-6)
      .permute({0, 3, 1, 2});
}

MlpBlockImpl::MlpBlockImpl(std::int64_t dim, std::int64_t mlp_dim, Activation activation, Keys keys)
    : lin1(dim, mlp_dim), lin2(mlp_dim, dim), activation_(activation) {
  if (keys == Keys::kLin) {
    register_module("lin1", lin1);
    register_module("lin2", lin2);
  } else {
    register_module("layers", torch::nn::ModuleList(lin1, lin2));
  }
}

at::Tensor MlpBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor hidden = lin1(x);
  return lin2(activation_ == Activation::kGelu ? at::gelu(hidden) : at::relu(hidden));
}

}  // namespace segmenter
