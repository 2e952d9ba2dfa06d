// A convolution and the batch norm behind it as one convolution, for inference.
#ifndef DUET_NN_BATCH_NORM_FOLD_H_
#define DUET_NN_BATCH_NORM_FOLD_H_

#include <torch/types.h>

#include "nn/layers.h"

namespace nn {

struct FoldedConv {
  at::Tensor weight;  // [out, in / groups, k, k]
  at::Tensor bias;    // [out]
};

// `norm` as in eval mode. In double, so exact to the last float bit. REQUIRES: `conv` has no bias.
FoldedConv FoldBatchNorm(const Conv2dImpl& conv, const BatchNorm2dImpl& norm);

}  // namespace nn

#endif  // DUET_NN_BATCH_NORM_FOLD_H_
