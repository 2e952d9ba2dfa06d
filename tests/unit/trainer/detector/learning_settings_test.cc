#include "trainer/detector/learning_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<LearningSettings> Read(const std::string& model,
                                      std::vector<std::string>* warnings = nullptr) {
  return ReadLearningSettings(detector::ParsePythonConfig("model = dict(" + model + ")"), warnings);
}

// configs/rtmdet/rtmdet_l_8xb32-300e_coco.py and rtmdet-ins_l_8xb32-300e_coco.py.
constexpr char kOfficial[] = R"(
    backbone=dict(type='CSPNeXt', norm_cfg=dict(type='SyncBN')),
    bbox_head=dict(
        type='RTMDetInsSepBNHead',
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_mask=dict(type='DiceLoss', loss_weight=2.0, eps=5e-6, reduction='mean')),
    train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
                   allowed_border=-1, pos_weight=-1, debug=False))";

TEST(LearningSettingsTest, OfOfficialConfigsAreTheDefaults) {
  std::vector<std::string> warnings;
  for (const char* model : {kOfficial, ""}) {
    ASSERT_OK_AND_ASSIGN(const LearningSettings settings, Read(model, &warnings));
    EXPECT_EQ(settings.loss_weights.classes, 1);
    EXPECT_EQ(settings.loss_weights.boxes, 2);
    EXPECT_EQ(settings.loss_weights.masks, 2);
    EXPECT_EQ(settings.assigner.topk, 13);
    EXPECT_EQ(settings.assigner.soft_center_radius, 3);
    EXPECT_EQ(settings.assigner.iou_weight, 3);
    EXPECT_FALSE(settings.norm_eval);
  }
  EXPECT_THAT(warnings, testing::IsEmpty());
}

TEST(LearningSettingsTest, WhatTheConfigSaysIsDone) {
  ASSERT_OK_AND_ASSIGN(
      const LearningSettings settings,
      Read("backbone=dict(norm_eval=True), bbox_head=dict("
           "loss_cls=dict(type='QualityFocalLoss', loss_weight=5), "
           "loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=20.0), "
           "loss_mask=dict(type='DiceLoss', eps=5e-6)), "
           "train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=3, iou_weight=1.0, "
           "soft_center_radius=2.5))"));
  EXPECT_EQ(settings.loss_weights.classes, 5);
  EXPECT_EQ(settings.loss_weights.boxes, 20);
  EXPECT_EQ(settings.loss_weights.masks, 1);  // DiceLoss' own
  EXPECT_EQ(settings.assigner.topk, 3);
  EXPECT_EQ(settings.assigner.soft_center_radius, 2.5);
  EXPECT_EQ(settings.assigner.iou_weight, 1);
  EXPECT_TRUE(settings.norm_eval);
}

TEST(LearningSettingsTest, WhatCannotBeTrainedWithIsRefusedByItsKey) {
  const auto refused = [](const std::string& model, const std::string& key,
                          const std::string& found) {
    EXPECT_THAT(Read(model), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr(key), HasSubstr(found))))
        << model;
  };
  refused("bbox_head=dict(loss_bbox=dict(type='DIoULoss', loss_weight=2.0))",
          "model.bbox_head.loss_bbox", "a DIoULoss; only GIoULoss");
  refused("bbox_head=dict(loss_cls=dict(type='FocalLoss'))", "model.bbox_head.loss_cls",
          "a FocalLoss; only QualityFocalLoss");
  refused("bbox_head=dict(loss_cls=dict(type='QualityFocalLoss', beta=1.5))",
          "model.bbox_head.loss_cls beta", "1.5");
  refused("bbox_head=dict(loss_mask=dict(type='DiceLoss', naive_dice=True, eps=5e-6))",
          "model.bbox_head.loss_mask naive_dice", "True");
  refused("train_cfg=dict(assigner=dict(type='SimOTAAssigner'))", "model.train_cfg.assigner",
          "a SimOTAAssigner; only DynamicSoftLabelAssigner");
  refused("train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=0))",
          "model.train_cfg.assigner.topk", "0");
  refused("train_cfg=dict(pos_weight=2.0)", "model.train_cfg pos_weight", "2");
}

TEST(LearningSettingsTest, KeysThatNobodyKnowsAreWarnedAbout) {
  std::vector<std::string> warnings;
  ASSERT_TRUE(Read("bbox_head=dict(loss_bbox=dict(type='GIoULoss', gamma=3))", &warnings).ok());
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("model.bbox_head.loss_bbox gamma")));
}

}  // namespace
}  // namespace trainer
