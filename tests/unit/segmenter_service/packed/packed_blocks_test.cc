#include "segmenter_service/packed/packed_blocks.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <string>

#include "nn/onednn/cpu.h"
#include "nn/onednn/split_linear.h"
#include "nn/threads.h"
#include "tests/unit/segmenter_service/packed/packed_module.h"

namespace segmenter {
namespace {

using nn::onednn::SplitProducts;

// Windows of 5 and 6 on a grid of 12: those of 5 are padded at the end. Block 1 attends globally.
ImageEncoderConfig SmallEncoder() {
  ImageEncoderConfig config;
  config.image_size = 192;
  config.embed_dim = 48;
  config.num_heads = 3;
  config.mlp_dim = 96;
  config.window_sizes = {5, 0, 6};
  return config;
}

ImageEncoderViT RandomEncoder(const ImageEncoderConfig& config) {
  at::manual_seed(5);
  ImageEncoderViT encoder(config, 32);
  Randomize(*encoder);
  return encoder;
}

void ExpectBlocksEqualThePlainOnes(const ImageEncoderConfig& config,
                                   nn::onednn::Precision precision, double tolerance,
                                   SplitProducts split = SplitProducts::kNever) {
  torch::NoGradGuard no_grad;
  constexpr int threads = 2;
  nn::UseThreads(threads);
  ImageEncoderViT encoder = RandomEncoder(config);
  nn::onednn::AllowSplitProducts(split);
  PackedBlocks packed(*encoder, config, precision, threads);
  nn::onednn::AllowSplitProducts(SplitProducts::kWhereFaster);
  const at::Tensor start = at::randn({1, config.grid(), config.grid(), config.embed_dim});

  for (std::int64_t i = 0; i < encoder->step_count(); ++i) {
    at::Tensor got = start.clone();
    packed.Run(i, got.data_ptr<float>());
    EXPECT_LT(Error(got, encoder->Block(i, start)), tolerance) << "block " << i;
  }
}

// A few dozen fp32 roundings of values of one size.
TEST(PackedBlocksTest, EqualThePlainOnes) {
  ExpectBlocksEqualThePlainOnes(SmallEncoder(), nn::onednn::Precision::kFloat32, 1e-5);
}

// 1024 keys, of which global attention takes 512 at a time.
TEST(PackedBlocksTest, EqualThePlainOnesWithMoreKeysThanAreTakenAtATime) {
  ImageEncoderConfig config = SmallEncoder();
  config.image_size = 512;
  ExpectBlocksEqualThePlainOnes(config, nn::onednn::Precision::kFloat32, 1e-5);
}

TEST(PackedBlocksTest, SplitProductsStayWithinTheirPrecision) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  // 4e-6 a product (rms), four of them one after the other.
  ExpectBlocksEqualThePlainOnes(SmallEncoder(), nn::onednn::Precision::kFloat32, 5e-5,
                                SplitProducts::kAlways);
}

TEST(PackedBlocksTest, BFloat16StaysWithinItsPrecision) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  // 8 bits: 0.4 % a rounding, some of them before an exponential.
  ExpectBlocksEqualThePlainOnes(SmallEncoder(), nn::onednn::Precision::kBFloat16, 3e-2);
}

}  // namespace
}  // namespace segmenter
