// What a config says of its training is what Duet did. That mmdet's runner trains so, too, shows
// tools/train_with_mmdet.py, which needs mmdet.
#include "trainer/run/training_config.h"

#include <gmock/gmock.h>

#include "detector_service/config/python_config.h"

namespace trainer {
namespace {

using detector::ParsePythonConfig;
using detector::PythonConfig;
using detector::PythonValue;
using testing::HasSubstr;

// Behind a source that says something else of each.
std::string ConfigOf(const TrainingPlan& plan, const Recipe& recipe, bool validation = true,
                     int new_classes = 0) {
  return R"(model = dict(backbone=dict(frozen_stages=1))
metainfo = dict(classes=('bolt', ))
train_pipeline = [dict(type='LoadAnnotations', with_mask=True, poly2mask=False)]
train_pipeline_stage2 = [dict(type='LoadAnnotations', with_mask=True, poly2mask=False)]
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=0.5))
param_scheduler = [dict(type='LinearLR', end=1000)]
custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=280)]
val_dataloader = dict(batch_size=1)
)" + TrainingConfig({.plan = plan,
                     .recipe = recipe,
                     .accumulation = 3,
                     .revision = "0123456789abcdef",
                     .validation = validation,
                     .backbone = true,
                     .new_classes = new_classes,
                     .classes = 2});
}

// The transform of this type in a list of them; none: null.
const PythonValue* Transform(const PythonConfig& config, const char* pipeline, const char* type) {
  const PythonValue* const transforms = config.values.Find(pipeline);
  if (transforms == nullptr || transforms->list() == nullptr) return nullptr;
  for (const PythonValue& transform : *transforms->list()) {
    if (*transform.Find("type")->string() == type) return &transform;
  }
  return nullptr;
}

double NumberAt(const PythonValue* value) {
  double number = -1;
  return value != nullptr && value->number(&number) ? number : -1;
}

TEST(TrainingConfigTest, BothPipelinesDrawMasksThatAreRle) {
  const PythonConfig config =
      ParsePythonConfig(ConfigOf(ChoosePlan(144, {}), RtmdetRecipe(ModelScale::kSmall, true, 416)));

  for (const char* pipeline : {"train_pipeline", "train_pipeline_stage2"}) {
    const PythonValue* const load = Transform(config, pipeline, "LoadAnnotations");
    ASSERT_NE(load, nullptr);
    EXPECT_TRUE(*load->Find("with_mask")->boolean());
    EXPECT_TRUE(*load->Find("poly2mask")->boolean());
    const PythonValue* const crop = Transform(config, pipeline, "RandomCrop");
    EXPECT_EQ(*(*crop->Find("crop_size")->list())[0].integer(), 416) << "as --input_size says";
    EXPECT_TRUE(*crop->Find("recompute_bbox")->boolean());
    EXPECT_NE(Transform(config, pipeline, "FilterAnnotations"), nullptr);
  }
  EXPECT_NE(Transform(config, "train_pipeline", "CachedMosaic"), nullptr);
  EXPECT_EQ(NumberAt(Transform(config, "train_pipeline", "CachedMixUp")->Find("prob")), 1);
  EXPECT_EQ(Transform(config, "train_pipeline_stage2", "CachedMosaic"), nullptr);
  EXPECT_EQ(Transform(config, "train_pipeline_stage2", "CachedMixUp"), nullptr);
  const PythonConfig boxes =
      ParsePythonConfig(ConfigOf(ChoosePlan(144, {}), RtmdetRecipe(ModelScale::kNano, false, 320)));
  EXPECT_EQ(Transform(boxes, "train_pipeline", "LoadAnnotations")->Find("with_mask"), nullptr);
  EXPECT_EQ(Transform(boxes, "train_pipeline", "CachedMixUp"), nullptr);
}

TEST(TrainingConfigTest, ThePlanIsTheConfigs) {
  const TrainingPlan plan = ChoosePlan(
      100, {.epochs = 17, .plain_epochs = 4, .batch = 6, .learning_rate = 0.00012345678901234567});

  const PythonConfig config =
      ParsePythonConfig(ConfigOf(plan, RtmdetRecipe(ModelScale::kTiny, false, 640)));

  const PythonValue& values = config.values;
  EXPECT_EQ(*values.Find({"train_dataloader", "batch_size"})->integer(), 6);
  EXPECT_EQ(*values.Find({"train_dataloader", "dataset", "ann_file"})->string(),
            "revisions/0123456789abcdef/train.json");
  EXPECT_EQ(*values.Find({"train_cfg", "max_epochs"})->integer(), 17);
  EXPECT_EQ(NumberAt(values.Find({"optim_wrapper", "optimizer", "lr"})), plan.learning_rate)
      << "to the last bit";
  EXPECT_EQ(*values.Find({"optim_wrapper", "accumulative_counts"})->integer(), 3);
  const PythonValue* const warmup = Transform(config, "param_scheduler", "LinearLR");
  EXPECT_EQ(*warmup->Find("end")->integer(), plan.warmup_steps);
  const PythonValue* const cosine = Transform(config, "param_scheduler", "CosineAnnealingLR");
  EXPECT_EQ(*cosine->Find("begin")->integer(), 8);
  EXPECT_EQ(*cosine->Find("end")->integer(), 17);
  EXPECT_EQ(*cosine->Find("T_max")->integer(), 8);
  EXPECT_EQ(NumberAt(cosine->Find("eta_min")), plan.learning_rate * 0.05);
  const PythonValue* const turn = Transform(config, "custom_hooks", "PipelineSwitchHook");
  EXPECT_EQ(*turn->Find("switch_epoch")->integer(), 13);
  EXPECT_EQ(turn->Find("switch_pipeline")->list()->size(), 8u);
  EXPECT_EQ(*values.Find({"model", "backbone", "frozen_stages"})->integer(), 4);
  EXPECT_NE(values.Find({"val_dataloader", "batch_size"}), nullptr);
}

TEST(TrainingConfigTest, NewClassesHaveARateOfTheirOwn) {
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, 640);
  const TrainingPlan plan = ChoosePlan(100, {.learning_rate = 0.001});
  const auto keys = [&](int new_classes) {
    const PythonConfig config =
        ParsePythonConfig(ConfigOf(plan, recipe, /*validation=*/true, new_classes));
    const PythonValue* const found =
        config.values.Find({"optim_wrapper", "paramwise_cfg", "custom_keys"});
    return found == nullptr ? PythonValue() : *found;
  };

  EXPECT_EQ(keys(0).Find("bbox_head.rtm_cls"), nullptr);
  EXPECT_EQ(keys(1).Find("bbox_head.rtm_cls"), nullptr) << "one of two: mmengine can't";
  EXPECT_THAT(ConfigOf(plan, recipe, true, 1), HasSubstr("# In Duet the rows of the 1 classes"));
  EXPECT_EQ(NumberAt(keys(2).Find({"bbox_head.rtm_cls", "lr_mult"})), 4);
  // To mmengine what a key matches is no bias any more.
  EXPECT_EQ(NumberAt(keys(2).Find({"bbox_head.rtm_cls.2.bias", "lr_mult"})), 4);
  EXPECT_EQ(NumberAt(keys(2).Find({"bbox_head.rtm_cls.2.bias", "decay_mult"})), 0);
  const TrainingPlan large = ChoosePlan(20'000, {});
  EXPECT_THAT(ConfigOf(large, recipe, true, 2), testing::Not(HasSubstr("custom_keys")));
}

TEST(TrainingConfigTest, WhatThereIsNoneOfIsNotInTheConfig) {
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, 640);
  const std::string text = ConfigOf(ChoosePlan(4, {.epochs = 1}), recipe, /*validation=*/false);

  const PythonConfig config = ParsePythonConfig(text);

  EXPECT_EQ(Transform(config, "param_scheduler", "LinearLR"), nullptr) << "a single step";
  EXPECT_EQ(*Transform(config, "param_scheduler", "CosineAnnealingLR")->Find("T_max")->integer(),
            1);
  EXPECT_EQ(Transform(config, "custom_hooks", "PipelineSwitchHook"), nullptr);
  EXPECT_THAT(text, HasSubstr("val_dataloader = None\n"));
  EXPECT_EQ(config.values.Find({"train_cfg", "dynamic_intervals"}), nullptr);
  EXPECT_THAT(ConfigOf(ChoosePlan(20'000, {}), recipe), HasSubstr("dynamic_intervals=[(280, 1)]"));
}

}  // namespace
}  // namespace trainer
