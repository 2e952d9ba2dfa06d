#include "detector_service/rtmdet/rtmdet.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "nn/layers.h"
#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

constexpr HeadKind kAllHeads[] = {HeadKind::kBoxes, HeadKind::kInstances, HeadKind::kRotated};

Rtmdet Small(bool share_conv = true, HeadKind head = HeadKind::kBoxes,
             Naming naming = Naming::kMmdet) {
  at::manual_seed(1);
  RtmdetConfig config = ScaledRtmdet(0.125, 0.33, /*num_classes=*/3, head);
  config.naming = naming;
  config.share_conv = share_conv;
  return Rtmdet(config);
}

TEST(RtmdetModelTest, OfficialSizesHaveTheirNumberOfParameters) {
  // Millions, as mmdet counts them.
  const nn::SkipInitialization skip;
  const auto millions = [](double widen, double deepen, HeadKind head = HeadKind::kBoxes,
                           int classes = 80) {
    double count = 0;
    const Rtmdet model(ScaledRtmdet(widen, deepen, classes, head));
    for (const at::Tensor& p : nn::UniqueParameters(*model)) count += p.numel();
    return count / 1e6;
  };
  EXPECT_NEAR(millions(0.375, 0.167), 4.896, 0.0005);
  EXPECT_NEAR(millions(0.5, 0.33), 8.887, 0.0005);
  EXPECT_NEAR(millions(0.75, 0.67), 24.709, 0.0005);
  EXPECT_NEAR(millions(0.75, 0.67, HeadKind::kInstances), 27.575, 0.0005);
  EXPECT_NEAR(millions(0.375, 0.167, HeadKind::kRotated, 15), 4.878, 0.0005);
}

TEST(RtmdetModelTest, TheShapeIsReadBackFromTheState) {
  const std::pair<Naming, HeadKind> families[] = {{Naming::kMmdet, HeadKind::kBoxes},
                                                  {Naming::kMmdet, HeadKind::kInstances},
                                                  {Naming::kMmdet, HeadKind::kRotated},
                                                  {Naming::kMmyolo, HeadKind::kBoxes},
                                                  {Naming::kMmyolo, HeadKind::kRotated}};
  for (const auto& [naming, head] : families) {
    for (bool share_conv : {true, false}) {
      Rtmdet model = Small(share_conv, head, naming);
      ASSERT_OK_AND_ASSIGN(const RtmdetConfig config,
                           InferConfig(nn::ToStateDict(*model), PythonConfig()));
      EXPECT_EQ(config, model->config);
    }
  }
}

RtmdetConfig Separable(const Depthwise& parts, double widen = 0.125, int classes = 3) {
  RtmdetConfig config = ScaledRtmdet(widen, 0.33, classes);
  config.depthwise = parts;
  config.share_conv = !parts.head;
  return config;
}

TEST(RtmdetModelTest, EachPartMayBeDepthwise) {
  for (const Depthwise& parts :
       {Depthwise{.backbone = true}, Depthwise{.neck = true}, Depthwise{.head = true},
        Depthwise{.backbone = true, .neck = true, .head = true}}) {
    const RtmdetConfig config = Separable(parts);
    Rtmdet model(config);
    ASSERT_OK_AND_ASSIGN(const RtmdetConfig read,
                         InferConfig(nn::ToStateDict(*model), PythonConfig()));
    EXPECT_EQ(read, config);
  }
}

TEST(RtmdetModelTest, NanoIsTheOfficialOneOfRtmpose) {
  // As mmdet counts them.
  const nn::SkipInitialization skip;
  const RtmdetConfig config = Separable({true, true, true}, 0.25, /*classes=*/1);
  std::int64_t count = 0;
  for (const at::Tensor& p : nn::UniqueParameters(*Rtmdet(config))) count += p.numel();
  EXPECT_EQ(count, 994423);
  EXPECT_EQ(ModelName(config), "rtmdet-nano");
  EXPECT_EQ(DefaultSettings(config).input_size.width, 320);
}

TEST(RtmdetModelTest, WhatWasFusedForDeploymentIsRefusedByName) {
  Rtmdet model = Small();
  checkpoint::StateDict state = nn::ToStateDict(*model);
  const checkpoint::TensorView bias = state[1].second;  // the first batch norm's weight
  std::erase_if(state,
                [](const auto& item) { return item.first.find(".bn.") != std::string::npos; });
  state.emplace_back("backbone.stem.0.conv.bias", bias);

  EXPECT_THAT(LoadRtmdet(state, PythonConfig()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("RTMDet"), HasSubstr("fused for deployment"),
                             HasSubstr("that training wrote"))));
}

TEST(RtmdetModelTest, NamesTellSizeAndHead) {
  EXPECT_EQ(ModelName(ScaledRtmdet(0.375, 0.167, 80)), "rtmdet-tiny");
  EXPECT_EQ(ModelName(ScaledRtmdet(0.5, 0.33, 3, HeadKind::kInstances)), "rtmdet-ins-s");
  EXPECT_EQ(ModelName(ScaledRtmdet(1, 1, 15, HeadKind::kRotated)), "rtmdet-r-l");
  EXPECT_EQ(ModelName(ScaledRtmdet(0.125, 0.33, 80)), "rtmdet");
}

TEST(RtmdetModelTest, TheConfigTextDecidesOnExpElseTheWidth) {
  Rtmdet narrow = Small();
  const auto exp = [&](const checkpoint::StateDict& state, const char* text) {
    return InferConfig(state, ParsePythonConfig(text)).value().exp_on_reg;
  };
  EXPECT_FALSE(exp(nn::ToStateDict(*narrow), ""));
  EXPECT_TRUE(exp(nn::ToStateDict(*narrow), "model = dict(bbox_head=dict(exp_on_reg=True))"));
  const nn::SkipInitialization skip;
  Rtmdet m(ScaledRtmdet(0.75, 0.67, 80));
  EXPECT_TRUE(exp(nn::ToStateDict(*m), ""));
  EXPECT_FALSE(exp(nn::ToStateDict(*m), "model = dict(bbox_head=dict(exp_on_reg=False))"));
}

TEST(RtmdetModelTest, TheConfigTextDecidesOnEpsAndPoints) {
  Rtmdet model = Small();
  const auto config = [&](const char* text) {
    return InferConfig(nn::ToStateDict(*model), ParsePythonConfig(text));
  };
  EXPECT_EQ(config("").value().bn_eps, (std::array{1e-5, 1e-5, 1e-5}));
  // mmdet's classes take 1e-3 where there is no norm_cfg; a norm_cfg without eps is PyTorch's.
  EXPECT_EQ(config("model = dict(backbone=dict(type='CSPNeXt'), neck=dict(type='CSPNeXtPAFPN',"
                   "norm_cfg=dict(type='SyncBN')), bbox_head=dict(type='RTMDetSepBNHead',"
                   "norm_cfg=dict(type='BN', eps=0.01)))")
                .value()
                .bn_eps,
            (std::array{1e-3, 1e-5, 1e-2}));
  EXPECT_EQ(LayoutOf(config("model = dict(bbox_head=dict(anchor_generator=dict("
                            "type='MlvlPointGenerator', strides=[8, 16, 32])))")
                         .value())
                .coding.point,
            0.5F);
  EXPECT_THAT(
      config("model = dict(backbone=dict(act_cfg=dict(type='ReLU')))"),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backbone act_cfg = ReLU")));
  EXPECT_THAT(config("model = dict(bbox_head=dict(exp_on_reg=x()))"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("exp_on_reg")));
}

TEST(RtmdetModelTest, BatchNormsComputeWithTheConfigsEps) {
  Rtmdet model = Small();
  model->eval();
  const torch::NoGradGuard no_grad;
  for (at::Tensor parameter : model->parameters()) parameter.normal_(0, 0.1);  // fresh ones give 0
  const at::Tensor image = at::randn({1, 3, 64, 64});
  const checkpoint::StateDict state = nn::ToStateDict(*model);
  for (const char* part : {"backbone", "neck", "bbox_head"}) {
    ASSERT_OK_AND_ASSIGN(
        Rtmdet loaded,
        LoadRtmdet(state, ParsePythonConfig(std::string("model = dict(") + part +
                                            "=dict(norm_cfg=dict(type='BN', eps=0.5)))")));
    EXPECT_FALSE(at::equal(loaded(image).cls_logits[0], model(image).cls_logits[0])) << part;
    for (const auto& entry : loaded->named_modules()) {
      const auto* norm = entry.value()->as<nn::BatchNorm2dImpl>();
      if (norm == nullptr) continue;
      const float added = entry.key().starts_with(part) ? 0.5F - 1e-5F : 0.F;
      const auto* own = model->named_modules()[entry.key()]->as<nn::BatchNorm2dImpl>();
      EXPECT_TRUE(at::allclose(norm->running_var, own->running_var + added)) << entry.key();
    }
  }
}

TEST(RtmdetModelTest, SavedAndLoadedItComputesTheSame) {
  Rtmdet model = Small();
  model->eval();
  const torch::NoGradGuard no_grad;
  const at::Tensor image = at::randn({1, 3, 64, 64});
  ASSERT_OK_AND_ASSIGN(Rtmdet loaded, LoadRtmdet(nn::ToStateDict(*model), PythonConfig()));

  EXPECT_TRUE(at::equal(loaded(image).cls_logits[0], model(image).cls_logits[0]));
  EXPECT_TRUE(at::equal(loaded(image).distances[2], model(image).distances[2]));
}

// Anything that depends on all outputs.
at::Tensor LossOf(const HeadOutput& output) {
  at::Tensor loss = at::zeros({});
  const auto add = [&](const at::Tensor& map) {
    if (map.defined()) loss = loss + map.pow(2).mean();
  };
  for (int i = 0; i < kLevels; ++i) {
    add(output.cls_logits[i]);
    add(output.distances[i]);
    add(output.angles[i]);
    add(output.kernels[i]);
  }
  add(output.mask_features);
  return loss;
}

TEST(RtmdetModelTest, TrainingMovesEveryParameterOfEveryHead) {
  for (const HeadKind head : kAllHeads) {
    Rtmdet model = Small(/*share_conv=*/true, head);
    model->train();
    LossOf(model(at::randn({2, 3, 64, 64}))).backward();
    for (const at::Tensor& parameter : nn::UniqueParameters(*model)) {
      EXPECT_TRUE(parameter.grad().defined());
    }
  }
}

TEST(RtmdetModelTest, InstancesRegressFromTheClassBranch) {
  // As upstream, by a slip: both names, one set of tensors, computed once.
  const Rtmdet model = Small(/*share_conv=*/true, HeadKind::kInstances);
  const auto state = nn::NamedState(*model);
  const auto find = [&](const std::string& name) {
    return std::find_if(state.begin(), state.end(),
                        [&](const auto& item) { return item.first == name; })
        ->second;
  };
  EXPECT_TRUE(
      find("bbox_head.reg_convs.1.0.bn.weight").is_same(find("bbox_head.cls_convs.1.0.bn.weight")));
  EXPECT_FALSE(find("bbox_head.kernel_convs.1.0.conv.weight")
                   .is_same(find("bbox_head.kernel_convs.0.0.conv.weight")));
}

TEST(RtmdetModelTest, TrainingMovesEveryParameterOnce) {
  Rtmdet model = Small();
  model->train();
  LossOf(model(at::randn({2, 3, 64, 64}))).backward();

  const auto parameters = nn::UniqueParameters(*model);
  EXPECT_LT(parameters.size(), model->parameters().size());  // the head's convolutions are shared
  for (const auto& item : model->named_parameters()) {
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
  EXPECT_EQ(
      model->backbone->stem->ptr(0)->named_buffers()["bn.num_batches_tracked"].item<std::int64_t>(),
      1);
}

TEST(RtmdetModelTest, RtmdetIsToldByItsHeadInEitherNaming) {
  for (const Naming naming : {Naming::kMmdet, Naming::kMmyolo}) {
    const checkpoint::StateDict state =
        nn::ToStateDict(*Small(/*share_conv=*/true, HeadKind::kBoxes, naming));
    EXPECT_TRUE(IsRtmdet(checkpoint::TensorIndex(state)));
  }
  EXPECT_FALSE(IsRtmdet(checkpoint::TensorIndex({})));
}

TEST(RtmdetModelTest, HeadsThatAreNotSupportedAreNamed) {
  Rtmdet model = Small();
  const auto with = [&](const char* name, std::int64_t channels) {
    checkpoint::StateDict state = nn::ToStateDict(*model);
    state.emplace_back(name, state[0].second);
    state.back().second.shape = {channels, 8, 1, 1};
    return InferConfig(state, PythonConfig());
  };
  EXPECT_THAT(with("bbox_head.rtm_ang.0.weight", 180),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("codes angles")));
  EXPECT_THAT(with("bbox_head.rtm_kernel.0.weight", 153),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("169 weights")));
  EXPECT_THAT(with("bbox_head.rtm_obj.0.weight", 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("objectness")));
}

TEST(RtmdetModelTest, WeightsThatDoNotFitAreListed) {
  Rtmdet model = Small();
  checkpoint::StateDict state = nn::ToStateDict(*model);
  state[0].second.shape = {7, 3, 3, 3};  // the stem's first convolution
  std::erase_if(state, [](const auto& item) { return item.first == "bbox_head.rtm_reg.1.bias"; });
  state.emplace_back("bbox_head.extra", state[0].second);

  EXPECT_THAT(LoadRtmdet(state, PythonConfig()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("1 missing: bbox_head.rtm_reg.1.bias"),
                             HasSubstr("1 unexpected: bbox_head.extra"), HasSubstr("misshapen"))));
}

}  // namespace
}  // namespace detector
