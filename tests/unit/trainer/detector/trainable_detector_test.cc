#include "trainer/detector/trainable_detector.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "detector_service/rtmdet/csp_layer.h"
#include "nn/state_dict.h"
#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

checkpoint::Checkpoint CheckpointOf(detector::RtmdetConfig config,
                                    std::vector<std::string> classes) {
  at::manual_seed(5);
  config.num_classes = static_cast<int>(classes.size());
  checkpoint::Checkpoint checkpoint;
  checkpoint.state_dict = nn::ToStateDict(*MakeNetwork(config));
  checkpoint.meta.classes = std::move(classes);
  return checkpoint;
}

checkpoint::Checkpoint Animals(detector::HeadKind head = detector::HeadKind::kBoxes) {
  return CheckpointOf(detector::ScaledRtmdet(0.125, 0.167, 1, head), {"cat", "dog", "cow"});
}

at::Tensor ClassLayer(const checkpoint::StateDict& state, int level, const char* what) {
  return nn::ToTensor(
      *checkpoint::Find(state, absl::StrCat("bbox_head.rtm_cls.", level, ".", what)));
}

TEST(LoadForTrainingTest, KeepsRowsByTheClassesNames) {
  for (const auto head : {detector::HeadKind::kBoxes, detector::HeadKind::kInstances}) {
    const checkpoint::Checkpoint animals = Animals(head);
    const auto loaded = LoadForTraining(animals, {"cow", "hen", "cat"}, /*seed=*/1);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_THAT(loaded->kept, ElementsAre("cow", "cat"));
    EXPECT_THAT(loaded->added, ElementsAre("hen"));
    EXPECT_THAT(loaded->new_rows, ElementsAre(1));
    EXPECT_THAT(loaded->dropped, ElementsAre("dog"));
    const checkpoint::StateDict state = nn::ToStateDict(*loaded->network);
    for (const auto& [name, view] : state) {
      if (name.starts_with("bbox_head.rtm_cls.")) continue;
      EXPECT_TRUE(
          at::equal(nn::ToTensor(view), nn::ToTensor(*checkpoint::Find(animals.state_dict, name))))
          << name;
    }
    for (int level = 0; level < detector::kLevels; ++level) {
      for (const char* what : {"weight", "bias"}) {
        const at::Tensor old_rows = ClassLayer(animals.state_dict, level, what);
        const at::Tensor rows = ClassLayer(state, level, what);
        ASSERT_EQ(rows.size(0), 3);
        EXPECT_TRUE(at::equal(rows[0], old_rows[2])) << level << what;
        EXPECT_TRUE(at::equal(rows[2], old_rows[0])) << level << what;
      }
      // bias_init_with_prob(0.01) and normal(0, 0.01), other numbers on every level.
      EXPECT_FLOAT_EQ(ClassLayer(state, level, "bias")[1].item<float>(), -std::log(99.0F));
      const at::Tensor weight = ClassLayer(state, level, "weight")[1];
      EXPECT_NEAR(weight.std().item<double>(), 0.01, 0.006);  // of 32 numbers
    }
    EXPECT_FALSE(at::equal(ClassLayer(state, 0, "weight")[1], ClassLayer(state, 1, "weight")[1]));
  }
}

TEST(LoadForTrainingTest, AClassThatIsKnownUnderAnotherNameKeepsItsRow) {
  const auto config = label_studio::ParseLabelConfig(
      R"(<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
      <Label value="Katze" predicted_values="cat"/></RectangleLabels></View>)");
  ASSERT_TRUE(config.ok());

  const auto loaded = LoadForTraining(Animals(), {"hen", "Katze"}, 1, ClassMatch(*config));

  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->kept, ElementsAre("Katze"));
  EXPECT_THAT(loaded->new_rows, ElementsAre(0));
  EXPECT_THAT(loaded->dropped, ElementsAre("dog", "cow"));
  EXPECT_TRUE(at::equal(ClassLayer(nn::ToStateDict(*loaded->network), 0, "weight")[1],
                        ClassLayer(Animals().state_dict, 0, "weight")[0]));
}

TEST(LoadForTrainingTest, TheSameSeedDrawsTheSameRows) {
  const auto row = [](std::uint64_t seed) {
    const auto loaded = LoadForTraining(Animals(), {"hen"}, seed);
    return ClassLayer(nn::ToStateDict(*loaded->network), 2, "weight").clone();
  };
  EXPECT_TRUE(at::equal(row(7), row(7)));
  EXPECT_FALSE(at::equal(row(7), row(8)));
}

TEST(LoadForTrainingTest, BatchNormsAreThoseOfTheConfig) {
  checkpoint::Checkpoint animals = Animals();
  animals.meta.config_text =
      "model = dict(backbone=dict(type='CSPNeXt', norm_cfg=dict(type='SyncBN')),"
      " neck=dict(type='CSPNeXtPAFPN', norm_cfg=dict(type='BN', momentum=0.05, eps=0.002)),"
      " bbox_head=dict(type='RTMDetSepBNHead'))";
  const auto loaded = LoadForTraining(animals, {"cat"}, 1);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const detector::Rtmdet& network = loaded->network;
  const auto& stem = network->backbone->stem->ptr(0)->as<detector::ConvModuleImpl>()->bn;
  EXPECT_EQ(stem->eps, 1e-5);
  EXPECT_EQ(stem->momentum, 0.1);
  const auto& neck = network->neck->reduce_layers[0]->bn;
  EXPECT_EQ(neck->eps, 0.002);
  EXPECT_EQ(neck->momentum, 0.05);
  const auto& tower = network->bbox_head->cls_convs->ptr(1)
                          ->as<torch::nn::ModuleListImpl>()
                          ->ptr(0)
                          ->as<detector::ConvModuleImpl>()
                          ->bn;
  EXPECT_EQ(tower->eps, 0.001);  // the class's own, where the config is silent
  EXPECT_EQ(tower->momentum, 0.03);
  // The numbers themselves, whatever eps is, so that what is saved is what was learnt.
  EXPECT_TRUE(at::equal(neck->running_var, at::ones_like(neck->running_var)));

  animals.meta.config_text =
      "model = dict(neck=dict(type='CSPNeXtPAFPN', norm_cfg=dict(type='BN', momentum=None)))";
  EXPECT_THAT(LoadForTraining(animals, {"cat"}, 1).status(),
              duet_testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("momentum")));
}

TEST(LoadForTrainingTest, ListsThatAreNoListsAreRefused) {
  const auto refused = [](const std::vector<std::string>& classes, const std::string& why) {
    EXPECT_THAT(LoadForTraining(Animals(), classes, 1).status(),
                duet_testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  refused({}, "at least one class");
  refused({"cat", ""}, "class 1 has an empty name");
  refused({"cat", "dog", "cat"}, "'cat' is in the list twice");
}

TEST(LoadForTrainingTest, OtherNetworksAreRefused) {
  const auto refused = [](const checkpoint::Checkpoint& checkpoint, const std::string& why) {
    EXPECT_THAT(LoadForTraining(checkpoint, {"cat"}, 1).status(),
                duet_testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why)));
  };
  detector::RtmdetConfig mmyolo = detector::ScaledRtmdet(0.125, 0.167, 1);
  mmyolo.naming = detector::Naming::kMmyolo;
  refused(CheckpointOf(mmyolo, {"a"}), "this file holds rtmdet in MMYOLO's form");
  refused(Animals(detector::HeadKind::kRotated), "this file holds rtmdet-r");
  checkpoint::Checkpoint other = Animals();
  for (auto& [name, view] : other.state_dict) name = "yolo." + name;
  refused(other, "this file holds another network");
}

}  // namespace
}  // namespace trainer
