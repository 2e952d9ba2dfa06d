#include "model_service/startup.h"

#include <gtest/gtest.h>

#include "nn/onednn/split_linear.h"
#include "tests/testing/status_matchers.h"

namespace model_service {
namespace {

using nn::onednn::AllowedSplitProducts;
using nn::onednn::SplitProducts;

TEST(PrepareToComputeTest, StrictFloat32SplitsNoProducts) {
  CommonOptions options;
  options.threads = 1;
  ASSERT_THAT(PrepareToCompute(options), duet_testing::IsOk());
  EXPECT_EQ(AllowedSplitProducts(), SplitProducts::kWhereFaster);

  options.precision = "fp32-strict";
  ASSERT_THAT(PrepareToCompute(options), duet_testing::IsOk());

  EXPECT_EQ(AllowedSplitProducts(), SplitProducts::kNever);
}

}  // namespace
}  // namespace model_service
