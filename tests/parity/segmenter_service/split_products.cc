// Linked into a test, it makes all float32 linear layers be computed from bf16 products, as CPUs
// with AMX may (nn/onednn/split_linear.h); the arithmetic is the same on any CPU that has bf16.
#include <gtest/gtest.h>

#include "nn/onednn/split_linear.h"

namespace {

class SplitProductsEverywhere : public testing::Environment {
 public:
  void SetUp() override { nn::onednn::AllowSplitProducts(nn::onednn::SplitProducts::kAlways); }
};

const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new SplitProductsEverywhere);

}  // namespace
