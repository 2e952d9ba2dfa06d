#include <gmock/gmock.h>

#include "detector_service/model/detector.h"
#include "nn/layers.h"
#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

Rtmdet Small(bool share_conv = true, Naming naming = Naming::kMmdet) {
  at::manual_seed(1);
  RtmdetConfig config = ScaledRtmdet(0.125, 0.33, /*num_classes=*/3);
  config.naming = naming;
  config.share_conv = share_conv;
  return Rtmdet(config);
}

TEST(RtmdetModelTest, OfficialSizesHaveTheirNumberOfParameters) {
  // Millions, as mmdet counts them.
  const nn::SkipInitialization skip;
  const auto millions = [](double widen, double deepen) {
    double count = 0;
    const Rtmdet model(ScaledRtmdet(widen, deepen, 80));
    for (const at::Tensor& p : nn::UniqueParameters(*model)) count += p.numel();
    return count / 1e6;
  };
  EXPECT_NEAR(millions(0.375, 0.167), 4.896, 0.0005);
  EXPECT_NEAR(millions(0.5, 0.33), 8.887, 0.0005);
  EXPECT_NEAR(millions(0.75, 0.67), 24.709, 0.0005);
}

TEST(RtmdetModelTest, TheShapeIsReadBackFromTheState) {
  for (const Naming naming : {Naming::kMmdet, Naming::kMmyolo}) {
    for (bool share_conv : {true, false}) {
      Rtmdet model = Small(share_conv, naming);
      ASSERT_OK_AND_ASSIGN(const RtmdetConfig config,
                           InferConfig(nn::ToStateDict(*model), PythonConfig()));
      EXPECT_EQ(config, model->config);
    }
  }
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

TEST(RtmdetModelTest, SavedAndLoadedItComputesTheSame) {
  Rtmdet model = Small();
  model->eval();
  const torch::NoGradGuard no_grad;
  const at::Tensor image = at::randn({1, 3, 64, 64});
  ASSERT_OK_AND_ASSIGN(Rtmdet loaded, LoadRtmdet(nn::ToStateDict(*model), PythonConfig()));

  EXPECT_TRUE(at::equal(loaded(image).cls_logits[0], model(image).cls_logits[0]));
  EXPECT_TRUE(at::equal(loaded(image).distances[2], model(image).distances[2]));
}

TEST(RtmdetModelTest, TrainingMovesEveryParameterOnce) {
  Rtmdet model = Small();
  model->train();
  const HeadOutput output = model(at::randn({2, 3, 64, 64}));
  at::Tensor loss = at::zeros({});
  for (int i = 0; i < kLevels; ++i) {
    loss = loss + output.cls_logits[i].pow(2).mean() + output.distances[i].pow(2).mean();
  }
  loss.backward();

  const auto parameters = nn::UniqueParameters(*model);
  EXPECT_LT(parameters.size(), model->parameters().size());  // the head's convolutions are shared
  for (const auto& item : model->named_parameters()) {
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
  EXPECT_EQ(
      model->backbone->stem->ptr(0)->named_buffers()["bn.num_batches_tracked"].item<std::int64_t>(),
      1);
}

TEST(RtmdetModelTest, OtherModelsWeightsAreNamed) {
  checkpoint::StateDict sam;
  sam.emplace_back("image_encoder.pos_embed", checkpoint::TensorView{});
  EXPECT_THAT(InferConfig(sam, PythonConfig()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("Segment Anything")));
  EXPECT_THAT(InferConfig({}, PythonConfig()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no tensors")));

  Rtmdet model = Small();
  checkpoint::StateDict rotated = nn::ToStateDict(*model);
  rotated.emplace_back("bbox_head.rtm_ang.0.weight", rotated[0].second);
  EXPECT_THAT(InferConfig(rotated, PythonConfig()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rotated")));
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
