#include "nn/batch_norm_fold.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace nn {

FoldedConv FoldBatchNorm(const Conv2dImpl& conv, const BatchNorm2dImpl& norm) {
  // y = (conv(x) - mean) · weight / sqrt(var + eps) + bias
  const at::Tensor scale =
      norm.weight.to(at::kDouble) / at::sqrt(norm.running_var.to(at::kDouble) + norm.eps);
  return {(conv.weight.to(at::kDouble) * scale.reshape({-1, 1, 1, 1})).to(at::kFloat),
          (norm.bias.to(at::kDouble) - norm.running_mean.to(at::kDouble) * scale).to(at::kFloat)};
}

}  // namespace nn
