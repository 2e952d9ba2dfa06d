#include "segmenter_service/packed/packed_tiny_vit.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/packed/packed_module.h"

namespace segmenter {
namespace {

// Grids of 32, 16, 8 and 8: windows of 5 and 7 are padded, those of 4 are not.
TinyViTConfig SmallEncoder() {
  TinyViTConfig config;
  config.image_size = 128;
  config.layers = {
      {.dim = 16, .depth = 2, .hidden = 64, .stride = 2},
      {.dim = 32, .depth = 1, .hidden = 64, .num_heads = 2, .window = 5, .stride = 2},
      {.dim = 48, .depth = 2, .hidden = 96, .num_heads = 3, .window = 7, .stride = 1},
      {.dim = 64, .depth = 1, .hidden = 128, .num_heads = 4, .window = 4},
  };
  return config;
}

TinyViT RandomEncoder(const TinyViTConfig& config) {
  torch::NoGradGuard no_grad;
  at::manual_seed(5);
  TinyViT encoder(config, 32);
  Randomize(*encoder);
  for (auto& b : encoder->named_buffers()) {
    if (b.value().dim() == 1) b.value().uniform_(0.5, 1.5);
  }
  return encoder;
}

// The plain encoder's map as the packed one's tokens.
at::Tensor ToTokens(const at::Tensor& map) {
  return at::constant_pad_nd(map.permute({0, 2, 3, 1}), {0, 0, 0, 0, 0, 1}).contiguous();
}

void ExpectStepsEqualThePlainOnes(nn::onednn::Precision precision, double tolerance) {
  torch::NoGradGuard no_grad;
  constexpr int threads = 2;
  nn::UseThreads(threads);
  const TinyViTConfig config = SmallEncoder();
  TinyViT encoder = RandomEncoder(config);
  auto packed = PackTinyViT(encoder, config, precision, threads);
  if (absl::IsUnimplemented(packed.status())) GTEST_SKIP() << packed.status();
  ASSERT_THAT(packed, duet_testing::IsOk());
  ASSERT_EQ((*packed)->step_count(), encoder->step_count());

  const at::Tensor input = at::randn({1, 3, 128, 128});
  at::Tensor map = encoder->Begin(input);
  EXPECT_LT(Error((*packed)->Begin(input), ToTokens(map)), tolerance) << "patches";
  std::vector<at::Tensor> levels, packed_levels;
  for (std::int64_t i = 0; i < encoder->step_count(); ++i) {
    const at::Tensor tokens = (*packed)->Step(i, ToTokens(map), &packed_levels);
    map = encoder->Step(i, map, &levels);
    const std::int64_t rows = map.size(2);
    EXPECT_LT(Error(tokens.slice(1, 0, rows), map.permute({0, 2, 3, 1})), tolerance)
        << "step " << i;
  }
  ASSERT_EQ(levels.size(), 1);
  ASSERT_EQ(packed_levels.size(), 1);
  EXPECT_LT(Error(packed_levels[0], levels[0]), tolerance);
  EXPECT_LT(
      Error((*packed)->Finish(ToTokens(map), {}).embedding, encoder->Finish(map, {}).embedding),
      tolerance);
}

// A few dozen fp32 roundings of values of one size.
TEST(PackedTinyViTTest, StepsEqualThePlainOnes) {
  ExpectStepsEqualThePlainOnes(nn::onednn::Precision::kFloat32, 1e-5);
}

TEST(PackedTinyViTTest, BFloat16StaysWithinItsPrecision) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  // 8 bits: 0.4 % a rounding, some of them before an exponential.
  ExpectStepsEqualThePlainOnes(nn::onednn::Precision::kBFloat16, 3e-2);
}

}  // namespace
}  // namespace segmenter
