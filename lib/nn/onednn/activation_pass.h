// Activation and residual of a layer, in a pass over its output.
//
// oneDNN computes SiLU within a convolution slower than a pass over the result does, in bf16 most
// of all: bench_detector_network, "fused" beside "direct" (docs/adr/0003-kernel-plan.md).
#ifndef DUET_NN_ONEDNN_ACTIVATION_PASS_H_
#define DUET_NN_ONEDNN_ACTIVATION_PASS_H_

#include <cstdint>

#include "nn/activation.h"
#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

// x = act(x) + scale · residual, element by element; `residual` may be null. On all OpenMP threads.
// `count`: a multiple of CpuChannelBlock(). SiLU and sigmoid of bf16 are computed with a relative
// error of 2e-4, a tenth of what rounding to bf16 adds.
template <typename T>
void ActivateInPlace(Activation act, const T* residual, float scale, std::int64_t count, T* x);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ACTIVATION_PASS_H_
