#include "detector_service/packed/packed_rtmdet.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "nn/threads.h"

namespace detector {
namespace {

using Winograd = nn::onednn::CompileOptions::Winograd;

// Random weights that keep the values' size from layer to layer, and batch norms that do something.
Rtmdet RandomModel(double widen, double deepen, int classes) {
  torch::NoGradGuard no_grad;
  at::manual_seed(11);
  RtmdetConfig config = ScaledRtmdet(widen, deepen, classes);
  Rtmdet model(config);
  for (auto& p : model->named_parameters()) {
    at::Tensor t = p.value();
    if (t.dim() == 4) t.normal_(0, 1.4 / std::sqrt(static_cast<double>(t[0].numel())));
  }
  for (auto& b : model->named_buffers()) {
    at::Tensor t = b.value();
    if (b.key().find("running_mean") != std::string::npos) t.normal_(0, 0.1);
    if (b.key().find("running_var") != std::string::npos) t.uniform_(0.5, 1.5);
  }
  model->eval();
  return model;
}

double Error(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

void ExpectEqual(Rtmdet& model, const nn::onednn::CompileOptions& options, double tolerance) {
  torch::NoGradGuard no_grad;
  const at::Tensor image = at::randn({1, 3, 96, 128});
  const HeadOutput want = model->forward(image);

  auto packed = PackedRtmdet::Create(*model, 128, 96, options);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const HeadOutput got = (*packed)->Forward(image);

  for (int level = 0; level < kLevels; ++level) {
    ASSERT_EQ(got.cls_logits[level].sizes(), want.cls_logits[level].sizes());
    EXPECT_LT(Error(got.cls_logits[level], want.cls_logits[level]), tolerance) << level;
    EXPECT_LT(Error(got.distances[level], want.distances[level]), tolerance) << level;
  }
}

// 1e-4 of the range: what another fp32 convolution algorithm may differ by (RTMDet's noise floor is
// 5e-5).
TEST(PackedRtmdetTest, EqualsThePlainModules) {
  Rtmdet tiny = RandomModel(0.375, 0.167, 80);  // stage 1 has 24 channels: padded parts
  ExpectEqual(tiny, {.winograd = Winograd::kNever}, 1e-4);
  ExpectEqual(tiny, {.winograd = Winograd::kAlways}, 1e-4);
}

TEST(PackedRtmdetTest, NarrowAndDeepEqualsThePlainModules) {
  Rtmdet model = RandomModel(0.2, 0.67, 3);
  ExpectEqual(model, {}, 1e-4);
}

}  // namespace
}  // namespace detector
