// The arithmetic that a network is computed in, as models' versions name it.
#ifndef DUET_NN_ONEDNN_ARITHMETIC_CLASS_H_
#define DUET_NN_ONEDNN_ARITHMETIC_CLASS_H_

#include <string>
#include <string_view>

#include "nn/onednn/precision.h"

namespace nn::onednn {

// "fp32", "bf16" (of a CPU), or "cuda-fp32". Answers of one class differ by rounding only,
// whichever kernels and however many threads make them; those of two differ visibly. `device`:
// "cpu", "cuda", "cuda:N". `precision`: what is computed, not what was allowed.
inline std::string ArithmeticClass(std::string_view device, Precision precision) {
  const std::string kind(device.substr(0, device.find(':')));
  return (kind == "cpu" ? "" : kind + "-") + (precision == Precision::kBFloat16 ? "bf16" : "fp32");
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ARITHMETIC_CLASS_H_
