// What the tests of packed modules share: random weights, and how far a result is from the plain
// module's.
#ifndef DUET_TESTS_UNIT_SEGMENTER_SERVICE_PACKED_PACKED_MODULE_H_
#define DUET_TESTS_UNIT_SEGMENTER_SERVICE_PACKED_PACKED_MODULE_H_

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace segmenter {

// Sets matrices and vectors, so that no norm and no bias does nothing, and puts `module` into
// evaluation mode.
inline void Randomize(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& p : module.named_parameters()) {
    if (p.value().dim() == 2) p.value().normal_(0, 0.3);
    if (p.value().dim() == 1) p.value().uniform_(-0.5, 1.5);
  }
  module.eval();
}

// The largest difference, of the largest value; expects equal shapes.
inline double Error(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

}  // namespace segmenter

#endif  // DUET_TESTS_UNIT_SEGMENTER_SERVICE_PACKED_PACKED_MODULE_H_
