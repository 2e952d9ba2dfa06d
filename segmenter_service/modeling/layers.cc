#include "segmenter_service/modeling/layers.h"

#include <ATen/Functions.h>

namespace segmenter {

LayerNorm2dImpl::LayerNorm2dImpl(std::int64_t channels)
    : weight(register_parameter("weight", at::ones({channels}))),
      bias(register_parameter("bias", at::zeros({channels}))) {}

at::Tensor LayerNorm2dImpl::forward(const at::Tensor& x) {
  return at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, /*eps=*/1e-6)
      .permute({0, 3, 1, 2});
}

MlpBlockImpl::MlpBlockImpl(std::int64_t dim, std::int64_t mlp_dim, Activation activation)
    : activation_(activation) {
  lin1 = register_module("lin1", torch::nn::Linear(dim, mlp_dim));
  lin2 = register_module("lin2", torch::nn::Linear(mlp_dim, dim));
}

at::Tensor MlpBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor hidden = lin1(x);
  return lin2(activation_ == Activation::kGelu ? at::gelu(hidden) : at::relu(hidden));
}

}  // namespace segmenter
