#include "segmenter_service/modeling/mlp_block.h"

#include <ATen/Functions.h>
#include <torch/nn/modules/container/modulelist.h>

namespace segmenter {

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
