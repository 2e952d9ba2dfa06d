#include "detector_service/config/detector_settings.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

absl::StatusOr<DetectorSettings> Read(std::string_view text) {
  return ReadSettings(ParsePythonConfig(text));
}

TEST(DetectorSettingsTest, WithoutAConfigTheyAreTheOfficialModels) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings settings, Read(""));

  EXPECT_EQ(settings.input_size, (vision::Size{640, 640}));
  EXPECT_EQ(settings.score_threshold, 0.001);
  EXPECT_EQ(settings.nms_pre, 30000);
  EXPECT_EQ(settings.nms_iou_threshold, 0.65);
  EXPECT_EQ(settings.max_per_img, 300);
}

TEST(DetectorSettingsTest, TheConfigDecides) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings settings, Read(R"(
model = dict(
    data_preprocessor=dict(mean=[1, 2, 3.5], std=[4, 5, 6], bgr_to_rgb=True),
    test_cfg=dict(score_thr=0.05, nms_pre=1000, min_bbox_size=2, max_per_img=100,
                  nms=dict(type='nms', iou_threshold=0.6)))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='Pad', size=(320, 320), pad_val=dict(img=(7, 7, 7)))]
)"));

  EXPECT_EQ(settings.input_size, (vision::Size{320, 320}));
  EXPECT_EQ(settings.pad_value, 7);
  EXPECT_EQ(settings.mean[2], 3.5F);
  EXPECT_TRUE(settings.bgr_to_rgb);
  EXPECT_EQ(settings.score_threshold, 0.05);
  EXPECT_EQ(settings.nms_pre, 1000);
  EXPECT_EQ(settings.min_bbox_size, 2);
  EXPECT_EQ(settings.max_per_img, 100);
  EXPECT_EQ(settings.nms_iou_threshold, 0.6);
}

TEST(DetectorSettingsTest, WhatTheConfigOmitsIsTheFamilys) {
  const DetectorSettings family = {.resize = Resize::kLetterbox, .nms_iou_threshold = 0.7};
  ASSERT_OK_AND_ASSIGN(
      const DetectorSettings settings,
      ReadSettings(ParsePythonConfig("model = dict(test_cfg=dict(nms_pre=7))"), family));

  EXPECT_EQ(settings.resize, Resize::kLetterbox);
  EXPECT_EQ(settings.nms_iou_threshold, 0.7);
  EXPECT_EQ(settings.nms_pre, 7);
}

TEST(DetectorSettingsTest, ThePipelineTellsHowPicturesAreResized) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings letterbox, Read(R"(
test_pipeline = [
    dict(type='YOLOv5KeepRatioResize', scale=(320, 320)),
    dict(type='LetterResize', scale=(320, 320), allow_scale_up=False, pad_val=dict(img=7))]
)"));
  EXPECT_EQ(letterbox.resize, Resize::kLetterbox);
  EXPECT_EQ(letterbox.input_size, (vision::Size{320, 320}));
  EXPECT_EQ(letterbox.pad_value, 7);

  ASSERT_OK_AND_ASSIGN(const DetectorSettings stretch, Read(R"(
test_pipeline = [dict(type='mmdet.FixShapeResize', width=320, height=320, keep_ratio=False,
                      interpolation='bicubic')]
)"));
  EXPECT_EQ(stretch.resize, Resize::kStretch);
  EXPECT_EQ(stretch.input_size, (vision::Size{320, 320}));

  ASSERT_OK_AND_ASSIGN(const DetectorSettings fit, Read(R"(
test_pipeline = [dict(type='mmdet.Resize', scale=(320, 320), keep_ratio=True),
                 dict(type='mmdet.Pad', pad_to_square=True, pad_val=dict(img=(9.0, 9.0, 9.0)))]
)"));
  EXPECT_EQ(fit.resize, Resize::kFit);
  EXPECT_EQ(fit.input_size, (vision::Size{320, 320}));
  EXPECT_EQ(fit.pad_value, 9);
}

TEST(DetectorSettingsTest, YoloxStyleCountsNoDetections) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings settings,
                       Read("model = dict(test_cfg=dict(yolox_style=True, max_per_img=300))"));

  EXPECT_EQ(settings.max_per_img, std::numeric_limits<int>::max());
}

TEST(DetectorSettingsTest, WrongValuesAreNamed) {
  const auto is_error = [](const char* part) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(part));
  };
  EXPECT_THAT(Read("model = dict(test_cfg=dict(score_thr='x'))"), is_error("score_thr"));
  EXPECT_THAT(Read("model = dict(test_cfg=dict(score_thr=2))"), is_error("0 to 1"));
  EXPECT_THAT(Read("model = dict(test_cfg=dict(nms=dict(type='soft_nms')))"), is_error("soft_nms"));
  EXPECT_THAT(Read("model = dict(data_preprocessor=dict(std=[0, 1, 1]))"), is_error("std"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='Resize', scale=(1333, 800), keep_ratio=True)]"),
              is_error("square"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='Pad', size=(650, 650))]"), is_error("650"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='FixShapeResize', width=640, height=640)]"),
              is_error("bicubic"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='LetterResize', scale=(640, 640))]"),
              is_error("YOLOv5KeepRatioResize"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='YOLOv5KeepRatioResize', scale=(640, 640)),"
                   "dict(type='LetterResize', scale=(640, 640))]"),
              is_error("allow_scale_up"));
  EXPECT_THAT(Read("model = build(1)"), is_error("line 1"));
}

TEST(DetectorSettingsTest, EveryChangeOfAnswersChangesTheFingerprint) {
  DetectorSettings other;
  other.nms_iou_threshold = 0.6;

  EXPECT_NE(other.Fingerprint(), DetectorSettings().Fingerprint());
}

}  // namespace
}  // namespace detector
