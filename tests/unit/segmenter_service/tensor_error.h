// How far a packed module's result is from the plain one's.
#ifndef DUET_TESTS_UNIT_SEGMENTER_SERVICE_TENSOR_ERROR_H_
#define DUET_TESTS_UNIT_SEGMENTER_SERVICE_TENSOR_ERROR_H_

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace segmenter {

// The largest difference, of the largest value; expects equal shapes.
inline double Error(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

}  // namespace segmenter

#endif  // DUET_TESTS_UNIT_SEGMENTER_SERVICE_TENSOR_ERROR_H_
