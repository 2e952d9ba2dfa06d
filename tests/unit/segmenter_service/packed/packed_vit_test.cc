#include "segmenter_service/packed/packed_vit.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <memory>

#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "tests/unit/segmenter_service/packed/packed_module.h"

namespace segmenter {
namespace {

// From pixels to the embedding. `out_channels`: whole channel blocks or not.
void ExpectEncodesAsThePlainOne(std::int64_t out_channels, nn::onednn::Precision precision,
                                double tolerance) {
  torch::NoGradGuard no_grad;
  constexpr int threads = 2;
  nn::UseThreads(threads);
  at::manual_seed(5);
  ImageEncoderConfig config;
  config.image_size = 208;  // a grid of 13, which no strip and no Winograd tile divides
  config.embed_dim = 48;
  config.num_heads = 3;
  config.mlp_dim = 96;
  config.window_sizes = {5, 0};
  ImageEncoderViT encoder(config, out_channels);
  Randomize(*encoder);
  encoder->pos_embed.normal_(0, 0.5);
  const std::shared_ptr<EncoderSteps> packed = PackViT(encoder, config, precision, threads);

  for (int i = 0; i < 2; ++i) {  // the second finds what the first left behind
    const at::Tensor image = at::randn({1, 3, 208, 208});

    const EncodedImage got = packed->Encode(image), want = encoder->Encode(image);

    ASSERT_EQ(got.embedding.sizes(), want.embedding.sizes());
    EXPECT_LT(Error(packed->Begin(image), encoder->Begin(image)), tolerance);
    EXPECT_LT(Error(got.embedding, want.embedding), tolerance) << out_channels;
    ASSERT_EQ(got.levels.size(), want.levels.size());
    EXPECT_LT(Error(got.levels[0], want.levels[0]), tolerance);
  }
}

// Some hundred fp32 roundings of values of one size; Winograd's are three times larger.
TEST(PackedViTTest, EncodesAsThePlainOne) {
  for (const std::int64_t out_channels : {32, 40}) {
    ExpectEncodesAsThePlainOne(out_channels, nn::onednn::Precision::kFloat32, 2e-5);
  }
}

TEST(PackedViTTest, BFloat16StaysWithinItsPrecision) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  // 8 bits: 0.4 % a rounding, some of them before an exponential.
  ExpectEncodesAsThePlainOne(32, nn::onednn::Precision::kBFloat16, 5e-2);
}

}  // namespace
}  // namespace segmenter
