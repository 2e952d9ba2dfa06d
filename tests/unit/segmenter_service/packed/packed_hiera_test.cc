#include "segmenter_service/packed/packed_hiera.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "nn/onednn/cpu.h"
#include "nn/threads.h"
#include "tests/unit/segmenter_service/packed/packed_module.h"

namespace segmenter {
namespace {

// Grids of 64, 32, 16 and 8. Windows of 8 go through their blocks in strips; those of 6 and 3 are
// padded. Block 5 attends globally.
Sam2Config SmallModel() {
  Sam2Config config;
  config.embed_dim = 32;
  config.mask_decoder.kind = MaskDecoderConfig::Kind::kSam2;
  config.mask_decoder.mlp_dim = 32;
  HieraConfig& trunk = config.image_encoder;
  trunk.image_size = 256;
  trunk.embed_dim = 16;
  trunk.num_heads = 1;
  trunk.stages = {1, 2, 3, 1};
  trunk.global_att_blocks = {5};
  trunk.window_spec = {8, 6, 6, 3};
  trunk.mlp_ratio = 2;
  return config;
}

Sam2 RandomModel() {
  at::manual_seed(5);
  Sam2 model(SmallModel());
  Randomize(*model);
  return model;
}

void ExpectStepsEqualThePlainOnes(nn::onednn::Precision precision, double tolerance) {
  torch::NoGradGuard no_grad;
  constexpr int threads = 2;
  nn::UseThreads(threads);
  Sam2 model = RandomModel();
  const std::shared_ptr<EncoderSteps> packed = PackHiera(model, precision, threads);
  ASSERT_EQ(packed->step_count(), 7);

  const at::Tensor image = at::randn({1, 3, 256, 256});
  at::Tensor tokens = model->Begin(image).contiguous();
  EXPECT_LT(Error(packed->Begin(image), tokens), tolerance) << "patches";
  std::vector<at::Tensor> levels, packed_levels;
  for (std::int64_t i = 0; i < packed->step_count(); ++i) {
    // A copy, since the packed block may work in place.
    const at::Tensor got = packed->Step(i, tokens.clone(), &packed_levels);
    tokens = model->Step(i, tokens, &levels).contiguous();
    EXPECT_LT(Error(got, tokens), tolerance) << "block " << i;
  }
  ASSERT_EQ(levels.size(), 4);
  ASSERT_EQ(packed_levels.size(), 4);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    EXPECT_LT(Error(packed_levels[i], levels[i]), tolerance) << "level " << i;
  }

  const EncodedImage got = packed->Finish(tokens, levels);
  const EncodedImage want = model->Finish(tokens, levels);
  const std::vector<at::Tensor> high_res = model->mask_decoder->HighResFeatures(want);
  EXPECT_LT(Error(got.embedding, want.embedding), tolerance);
  ASSERT_EQ(got.high_res.size(), 2);
  for (std::size_t i = 0; i < high_res.size(); ++i) {
    ASSERT_EQ(got.high_res[i].sizes(), high_res[i].sizes());
    EXPECT_LT(Error(got.high_res[i], high_res[i]), tolerance) << "map " << i;
  }
}

// A few dozen fp32 roundings of values of one size.
TEST(PackedHieraTest, StepsEqualThePlainOnes) {
  ExpectStepsEqualThePlainOnes(nn::onednn::Precision::kFloat32, 1e-5);
}

TEST(PackedHieraTest, BFloat16StaysWithinItsPrecision) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  // 8 bits: 0.4 % a rounding, some of them before an exponential.
  ExpectStepsEqualThePlainOnes(nn::onednn::Precision::kBFloat16, 3e-2);
}

}  // namespace
}  // namespace segmenter
