#include "trainer/detector/detector_trainer.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/state_dict.h"
#include "tests/testing/status_matchers.h"
#include "trainer/detector/trainable_detector.h"

namespace trainer {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kClasses = 2;

detector::Rtmdet TinyNetwork(detector::HeadKind head = detector::HeadKind::kBoxes) {
  at::manual_seed(3);
  detector::RtmdetConfig config = detector::ScaledRtmdet(0.125, 0.167, kClasses, head);
  config.exp_on_reg = head == detector::HeadKind::kBoxes;  // boxes fit at once, if badly
  return MakeNetwork(config);
}

DetectorTrainingOptions Options() {
  return {
      .schedule = {.base = 0.01, .epochs = 2, .iterations_per_epoch = 4, .warmup_iterations = 2}};
}

std::unique_ptr<DetectorTrainer> MakeTrainer(const DetectorTrainingOptions& options = Options()) {
  return *DetectorTrainer::Make(TinyNetwork(), options);
}

Batch TinyBatch(std::uint64_t seed) {
  at::manual_seed(seed);
  return {at::randn({2, 3, 64, 64}),
          {{{.box = {8, 8, 40, 48}, .class_index = 1}}, {{.box = {20, 4, 60, 30}}}}};
}

// The names whose tensors differ.
std::vector<std::string> Differences(const checkpoint::StateDict& a,
                                     const checkpoint::StateDict& b) {
  std::vector<std::string> names;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, view] : a) {
    const checkpoint::TensorView* other = checkpoint::Find(b, name);
    if (other == nullptr || !at::equal(nn::ToTensor(view), nn::ToTensor(*other)))
      names.push_back(name);
  }
  return names;
}

bool IsOf(const std::string& name, const std::string& part) {
  return name.find("." + part) != std::string::npos;
}

TEST(DetectorTrainerTest, TheLossFallsOnABatchThatIsSeenAgainAndAgain) {
  DetectorTrainingOptions options = Options();
  options.schedule.epochs = 10;
  const auto trainer = MakeTrainer(options);
  const Batch batch = TinyBatch(1);
  const StepReport first = *trainer->Step(batch);
  StepReport last;
  while (trainer->iteration() < options.schedule.iterations()) last = *trainer->Step(batch);

  EXPECT_EQ(first.iteration, 0);
  EXPECT_DOUBLE_EQ(first.learning_rate, 0.01 * 1e-5);
  EXPECT_EQ(last.iteration, 39);
  EXPECT_LT(last.total(), 0.7 * first.total());
  EXPECT_THAT(trainer->Step(batch),
              duet_testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("all 40")));
}

// In the middle of an accumulation, when gradients are part of the state.
TEST(DetectorTrainerTest, GoesOnFromItsStateWithTheSameBits) {
  DetectorTrainingOptions options = Options();
  options.accumulation = 3;
  const auto uninterrupted = MakeTrainer(options);
  checkpoint::StateDict middle;
  for (int i = 0; i < 7; ++i) {
    if (i == 4) middle = uninterrupted->ToStateDict();
    ASSERT_TRUE(uninterrupted->Step(TinyBatch(i)).ok());
  }

  const auto resumed = MakeTrainer(options);
  ASSERT_TRUE(resumed->LoadStateDict(middle).ok());
  EXPECT_EQ(resumed->iteration(), 4);
  for (int i = 4; i < 7; ++i) ASSERT_TRUE(resumed->Step(TinyBatch(i)).ok());

  EXPECT_THAT(Differences(uninterrupted->ToStateDict(), resumed->ToStateDict()),
              testing::IsEmpty());
}

// One image with an object and its mask, or with none.
Batch MaskBatch(std::uint64_t seed, bool has_object) {
  at::manual_seed(seed);
  Batch batch{at::randn({1, 3, 64, 64}), {{}}};
  if (!has_object) return batch;
  cv::Mat mask = cv::Mat::zeros(64, 64, CV_8UC1);
  mask(cv::Rect(8, 8, 32, 40)) = 1;
  batch.objects[0].push_back(
      {.box = {8, 8, 40, 48},
       .class_index = 1,
       .mask = std::make_shared<const vision::Mask>(vision::MaskFromPixels(mask))});
  return batch;
}

// RTMDet-Ins' kernels have no gradient in a batch without objects, so that AdamW has made fewer
// steps with them than with the rest, or none.
TEST(DetectorTrainerTest, GoesOnWithTheSameBitsWhereParametersLearnedUnequallyOften) {
  const std::vector<bool> has_object = {false, true, false, true, true};
  const auto make = [] {
    return *DetectorTrainer::Make(TinyNetwork(detector::HeadKind::kInstances), Options());
  };
  for (const int at : {1, 3}) {
    const auto uninterrupted = make();
    checkpoint::StateDict middle;
    for (int i = 0; i < 5; ++i) {
      if (i == at) middle = uninterrupted->ToStateDict();
      ASSERT_TRUE(uninterrupted->Step(MaskBatch(i, has_object[i])).ok());
    }

    const auto resumed = make();
    // What it did before is forgotten.
    ASSERT_TRUE(resumed->Step(MaskBatch(9, true)).ok());
    ASSERT_TRUE(resumed->LoadStateDict(middle).ok());
    for (int i = at; i < 5; ++i) ASSERT_TRUE(resumed->Step(MaskBatch(i, has_object[i])).ok());

    EXPECT_THAT(Differences(uninterrupted->ToStateDict(), resumed->ToStateDict()),
                testing::IsEmpty())
        << at;
  }
}

// AdamW is blind to the size of gradients, so that only this shows it: eight batches in threes are
// two steps of three and one of two.
TEST(DetectorTrainerTest, AccumulationIsAMeanAlsoAtTheEnd) {
  DetectorTrainingOptions options = Options();
  options.accumulation = 3;
  const auto trainer = MakeTrainer(options);
  for (int i = 0; i < 8; ++i) {
    const auto alone = MakeTrainer();
    // The same weights and statistics, on their own.
    checkpoint::StateDict state = trainer->ToStateDict();
    std::erase_if(state, [](const auto& item) { return item.first.starts_with("gradient."); });
    ASSERT_TRUE(alone->LoadStateDict(state).ok());
    const double whole = (*alone->Step(TinyBatch(i))).gradient_norm;
    EXPECT_NEAR((*trainer->Step(TinyBatch(i))).gradient_norm, whole / (i < 6 ? 3 : 2),
                1e-4 * whole);
  }
}

TEST(DetectorTrainerTest, AStateOfAnotherNetworkIsRefusedAndChangesNothing) {
  const auto trainer = MakeTrainer();
  ASSERT_TRUE(trainer->Step(TinyBatch(1)).ok());
  const checkpoint::StateDict before = trainer->ToStateDict();
  checkpoint::StateDict other = before;
  std::erase_if(other, [](const auto& item) {
    return item.first == "second_moment.bbox_head.rtm_cls.2.bias";
  });
  EXPECT_THAT(trainer->LoadStateDict(other),
              duet_testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("no second_moment.bbox_head.rtm_cls.2.bias")));
  EXPECT_THAT(Differences(before, trainer->ToStateDict()), testing::IsEmpty());
}

TEST(DetectorTrainerTest, WhatIsNotFiniteIsNamedAndChangesNothing) {
  DetectorTrainingOptions options = Options();
  options.accumulation = 2;
  const auto trainer = MakeTrainer(options);
  ASSERT_TRUE(trainer->Step(TinyBatch(1)).ok());
  const checkpoint::StateDict before = trainer->ToStateDict();
  Batch broken = TinyBatch(2);
  broken.images.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(trainer->Step(broken),
              duet_testing::StatusIs(absl::StatusCode::kOutOfRange,
                                     StartsWith("iteration 1: the loss of classes is not finite")));
  EXPECT_THAT(Differences(before, trainer->ToStateDict()), testing::IsEmpty());
  EXPECT_TRUE(trainer->Step(TinyBatch(2)).ok());

  // A network that has gone astray: finite scores, infinite boxes.
  at::Tensor bias = trainer->network()->bbox_head->rtm_reg->ptr(1)->named_parameters()["bias"];
  bias.data().fill_(3e38);
  EXPECT_THAT(trainer->Step(TinyBatch(3)),
              duet_testing::StatusIs(absl::StatusCode::kOutOfRange,
                                     StartsWith("iteration 2: the loss of boxes is")));
}

// How far two steps move the rows of the classifier on the first level: [classes, channels].
at::Tensor MovementOfRows(const DetectorTrainingOptions& options) {
  const auto trainer = MakeTrainer(options);
  const auto rows = [&] {
    return trainer->network()->bbox_head->rtm_cls->ptr(0)->as<nn::Conv2dImpl>()->weight.flatten(1);
  };
  const at::Tensor before = rows().detach().clone();
  EXPECT_TRUE(trainer->Step(TinyBatch(1)).ok());  // at a rate of almost 0
  EXPECT_TRUE(trainer->Step(TinyBatch(2)).ok());
  return rows().detach() - before;
}

TEST(DetectorTrainerTest, RowsOfNewClassesLearnAtTheirOwnRate) {
  DetectorTrainingOptions options = Options();
  const at::Tensor plain = MovementOfRows(options);
  options.new_classes = {1};
  options.new_class_rate_ratio = 5;

  const at::Tensor moved = MovementOfRows(options);

  // The first step's rate is 1e-5 of the second's, and moves what the second one sees as little.
  EXPECT_TRUE(at::allclose(moved[0], plain[0], 1e-3, 1e-6));
  EXPECT_TRUE(at::allclose(moved[1], 5 * plain[1], 1e-3, 1e-6)) << moved[1] << plain[1];
  EXPECT_GT(plain[1].abs().max().item<double>(), 1e-3);
}

TEST(DetectorTrainerTest, FrozenStagesKeepWeightsAndStatistics) {
  DetectorTrainingOptions options = Options();
  options.frozen_stages = 1;
  const auto trainer = MakeTrainer(options);
  const checkpoint::StateDict before = trainer->ToStateDict();
  ASSERT_TRUE(trainer->Step(TinyBatch(1)).ok());
  ASSERT_TRUE(trainer->Step(TinyBatch(2)).ok());
  checkpoint::StateDict after = trainer->ToStateDict();
  std::erase_if(after,
                [](const auto& item) { return !item.first.starts_with("weights.backbone."); });
  int frozen = 0;
  for (const auto& [name, view] : after) {
    const bool same = at::equal(nn::ToTensor(view), nn::ToTensor(*checkpoint::Find(before, name)));
    const bool expected = IsOf(name, "backbone.stem.") || IsOf(name, "backbone.stage1.");
    EXPECT_EQ(same, expected) << name;
    frozen += expected;
  }
  EXPECT_GT(frozen, 50);
}

// They are packed when they are first needed, and again when a state brings other weights.
TEST(DetectorTrainerTest, FrozenStagesAreThoseOfTheStateThatIsGiven) {
  DetectorTrainingOptions options = Options();
  options.frozen_stages = 4;
  const auto first = MakeTrainer(options);
  ASSERT_TRUE(first->Step(TinyBatch(1)).ok());
  const detector::RtmdetConfig config = TinyNetwork()->config;
  at::manual_seed(17);
  const auto second = *DetectorTrainer::Make(MakeNetwork(config), options);
  ASSERT_TRUE(second->Step(TinyBatch(1)).ok());

  ASSERT_TRUE(second->LoadStateDict(first->ToStateDict()).ok());
  ASSERT_TRUE(first->Step(TinyBatch(2)).ok());
  ASSERT_TRUE(second->Step(TinyBatch(2)).ok());

  EXPECT_THAT(Differences(first->ToStateDict(), second->ToStateDict()), testing::IsEmpty());
}

TEST(DetectorTrainerTest, NormEvalKeepsTheBackbonesStatisticsAlone) {
  DetectorTrainingOptions options = Options();
  options.learning.norm_eval = true;
  const auto trainer = MakeTrainer(options);
  const auto mean = [&](const torch::nn::Module& part) {
    return part.named_buffers().begin()->value().clone();
  };
  const at::Tensor backbone = mean(*trainer->network()->backbone);
  const at::Tensor neck = mean(*trainer->network()->neck);
  ASSERT_TRUE(trainer->Step(TinyBatch(1)).ok());
  EXPECT_TRUE(at::equal(backbone, mean(*trainer->network()->backbone)));
  EXPECT_FALSE(at::equal(neck, mean(*trainer->network()->neck)));
}

TEST(DetectorTrainerTest, AnImageWithoutObjectsAndABoxWithoutAnInsideAreLearntFrom) {
  const auto trainer = MakeTrainer();
  Batch batch = TinyBatch(1);
  batch.objects = {{}, {}};
  const StepReport empty = *trainer->Step(batch);
  EXPECT_GT(empty.classes, 0);
  EXPECT_EQ(empty.boxes, 0);
  batch.objects = {{}, {{.box = {9, 9, 9, 9}}, {.box = {30, 30, 10, 10}}}};
  EXPECT_TRUE(trainer->Step(batch).ok());
}

TEST(DetectorTrainerTest, IgnoredObjectsAreAsIfTheyWereNotThere) {
  const auto with = MakeTrainer();
  const auto without = MakeTrainer();
  Batch batch = TinyBatch(1);
  ASSERT_TRUE(without->Step(batch).ok());
  // Not even its class matters.
  batch.objects[0].push_back({.box = {0, 0, 64, 64}, .class_index = -1, .ignored = true});
  ASSERT_TRUE(with->Step(batch).ok());
  EXPECT_THAT(Differences(with->ToStateDict(), without->ToStateDict()), testing::IsEmpty());
}

TEST(DetectorTrainerTest, ABatchThatDoesNotFitIsNamed) {
  const auto trainer = MakeTrainer();
  const auto refused = [&](const Batch& batch, const std::string& why) {
    EXPECT_THAT(trainer->Step(batch),
                duet_testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  Batch batch = TinyBatch(1);
  batch.objects[1][0].class_index = kClasses;
  refused(batch, "image 1 of the batch, object 0: class 2; the network has 2");
  batch = TinyBatch(1);
  batch.objects[0][0].box.x_max = std::numeric_limits<float>::infinity();
  refused(batch, "image 0 of the batch, object 0: its box is not finite");
  batch = TinyBatch(1);
  batch.images = at::zeros({2, 3, 64, 65});
  refused(batch, "multiples of 32");
  batch = TinyBatch(1);
  batch.objects.pop_back();
  refused(batch, "2 images has the objects of 1");
  EXPECT_EQ(trainer->iteration(), 0);
}

std::shared_ptr<const vision::Mask> FullMask(vision::Size size) {
  return std::make_shared<const vision::Mask>(
      vision::MaskFromPixels(cv::Mat::ones(size.height, size.width, CV_8UC1)));
}

TEST(DetectorTrainerTest, InstancesNeedMasksOfTheInputsSize) {
  const auto trainer =
      *DetectorTrainer::Make(TinyNetwork(detector::HeadKind::kInstances), Options());
  Batch batch = TinyBatch(1);
  EXPECT_THAT(trainer->Step(batch), duet_testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                           HasSubstr("it has no mask")));
  for (auto& objects : batch.objects) objects[0].mask = FullMask({64, 32});
  EXPECT_THAT(trainer->Step(batch), duet_testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                           HasSubstr("64x64; it is 64x32")));
  for (auto& objects : batch.objects) objects[0].mask = FullMask({64, 64});
  EXPECT_GT((*trainer->Step(batch)).masks, 0);
}

TEST(DetectorTrainerTest, OptionsThatMakeNoSenseAreRefused) {
  const auto refused = [&](const auto& change, const std::string& why) {
    DetectorTrainingOptions options = Options();
    change(options);
    EXPECT_THAT(DetectorTrainer::Make(TinyNetwork(), options).status(),
                duet_testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  refused([](auto& options) { options.frozen_stages = 5; }, "frozen_stages");
  refused([](auto& options) { options.accumulation = 0; }, "accumulation");
  refused([](auto& options) { options.schedule.epochs = 0; }, "epoch");
  refused([](auto& options) { options.schedule.base = 0; }, "learning rate");
  refused([](auto& options) { options.new_classes = {kClasses}; }, "no class 2");
  refused([](auto& options) { options.new_class_rate_ratio = 0; }, "new_class_rate_ratio");
}

}  // namespace
}  // namespace trainer
