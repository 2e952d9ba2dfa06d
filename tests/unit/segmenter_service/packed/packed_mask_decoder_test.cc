#include "segmenter_service/packed/packed_mask_decoder.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <vector>

#include "nn/threads.h"
#include "tests/unit/segmenter_service/packed/packed_module.h"

namespace segmenter {
namespace {

using Kind = MaskDecoderConfig::Kind;

// 144 cells: not a multiple of those that pass together.
constexpr std::int64_t kDim = 64, kGrid = 12;

MaskDecoder RandomDecoder(Kind kind, bool hq_token_only = false) {
  at::manual_seed(5);
  MaskDecoderConfig config;
  config.kind = kind;
  config.mlp_dim = 96;
  config.iou_head_hidden = 40;
  config.vit_dim = 32;
  config.hq_token_only = hq_token_only;
  MaskDecoder decoder = MakeMaskDecoder(config, kDim);
  Randomize(*decoder);
  return decoder;
}

struct Case {
  const char* name;
  Kind kind;
  std::int64_t prompts, points;
  bool masks, multimask;
};

class PackedMaskDecoderTest : public testing::TestWithParam<Case> {};

TEST_P(PackedMaskDecoderTest, EqualsThePlainOne) {
  const Case& param = GetParam();
  torch::NoGradGuard no_grad;
  constexpr int threads = 2;
  nn::UseThreads(threads);
  MaskDecoder decoder = RandomDecoder(param.kind);
  const at::Tensor positions = at::randn({1, kDim, kGrid, kGrid});
  const at::Tensor image = at::randn({1, kDim, kGrid, kGrid});
  const at::Tensor sparse = at::randn({param.prompts, param.points, kDim});
  const at::Tensor dense =
      param.masks ? at::randn({param.prompts, kDim, kGrid, kGrid}) : at::randn({1, kDim, 1, 1});
  std::vector<at::Tensor> high_res;
  if (param.kind != Kind::kSam) {
    high_res.push_back(at::randn({1, kDim / 8, 4 * kGrid, 4 * kGrid}));
  }
  if (param.kind == Kind::kSam2) {
    high_res.push_back(at::randn({1, kDim / 4, 2 * kGrid, 2 * kGrid}));
  }
  PackedMaskDecoder packed(decoder, positions, threads);

  const DecodedMasks got = packed.Run(image, sparse, dense, high_res, param.multimask);

  const DecodedMasks want =
      decoder->Select(decoder->forward(image, positions, sparse, dense, high_res), param.multimask);
  // A few hundred fp32 roundings of values of one size, in another order.
  EXPECT_LT(Error(got.logits, want.logits), 1e-5);
  EXPECT_LT(Error(got.iou_predictions, want.iou_predictions), 1e-5);
}

// Prompts: fewer than threads, as many, and some that are left over.
INSTANTIATE_TEST_SUITE_P(Families, PackedMaskDecoderTest,
                         testing::Values(Case{"Click", Kind::kSam, 1, 2, false, true},
                                         Case{"Boxes", Kind::kSam, 5, 2, false, false},
                                         Case{"MasksAlone", Kind::kSam, 2, 0, true, false},
                                         Case{"ManyPointsAndAMask", Kind::kSam, 1, 33, true, true},
                                         Case{"HqClick", Kind::kHq, 1, 2, false, true},
                                         Case{"HqBoxes", Kind::kHq, 3, 2, true, false},
                                         Case{"Sam2Click", Kind::kSam2, 1, 2, false, true},
                                         Case{"Sam2Boxes", Kind::kSam2, 3, 3, true, false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace segmenter
