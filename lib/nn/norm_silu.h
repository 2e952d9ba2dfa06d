// Batch norm and SiLU in one piece, for trainings.
#ifndef DUET_NN_NORM_SILU_H_
#define DUET_NN_NORM_SILU_H_

#include <ATen/core/Tensor.h>

#include "nn/layers.h"

namespace nn {

// Whether BatchNormSilu takes these: float maps with their channels innermost, with gradients
// wanted, and a norm in train mode.
bool CanFuse(const BatchNorm2dImpl& norm, const at::Tensor& x);

// silu(norm(x)) of [B, C, H, W], differentiable in x and the norm's weight and bias; moves the
// norm's running statistics and its count. By itself LibTorch keeps the norm's result for SiLU's
// backward pass and goes through memory twice as often: here it is computed again from x.
// REQUIRES: CanFuse(norm, x).
at::Tensor BatchNormSilu(BatchNorm2dImpl& norm, const at::Tensor& x);

}  // namespace nn

#endif  // DUET_NN_NORM_SILU_H_
