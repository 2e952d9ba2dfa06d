#include "detector_service/config/detector_settings.h"

#include <gmock/gmock.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

absl::StatusOr<DetectorSettings> Read(std::string_view text, const DetectorSettings& defaults = {},
                                      std::vector<std::string>* warnings = nullptr) {
  return ReadSettings(ParsePythonConfig(text), defaults, warnings);
}

DetectorSettings ReadOk(std::string_view text, const DetectorSettings& defaults = {}) {
  const absl::StatusOr<DetectorSettings> settings = Read(text, defaults);
  EXPECT_TRUE(settings.ok()) << text << ": " << settings.status();
  return settings.ok() ? *settings : DetectorSettings();
}

// A test_cfg, a data_preprocessor, a pipeline of one step between others that are complete.
std::string TestCfg(const std::string& keys) { return "model = dict(test_cfg=dict(" + keys + "))"; }
std::string Preprocessor(const std::string& keys) {
  return "model = dict(data_preprocessor=dict(type='DetDataPreprocessor', " + keys + "))";
}
std::string Pipeline(const std::string& steps) { return "test_pipeline = [" + steps + "]"; }
std::string ResizeAndPad(const std::string& resize, const std::string& pad) {
  return Pipeline("dict(type='Resize', scale=(320, 320), keep_ratio=True" + resize +
                  "), dict(type='Pad', size=(320, 320)" + pad + ")");
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
  EXPECT_EQ(settings.pad_value, (std::array{7, 7, 7}));
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
  EXPECT_EQ(letterbox.pad_value, (std::array{7, 7, 7}));

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
  EXPECT_EQ(fit.pad_value, (std::array{9, 9, 9}));
}

TEST(DetectorSettingsTest, AnInputMayHaveAnyShape) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings divided, Read(R"(
model = dict(data_preprocessor=dict(pad_size_divisor=32, pad_value=0.5))
test_pipeline = [dict(type='Resize', scale=(1333, 800), keep_ratio=True)]
)"));
  EXPECT_EQ(divided.resize, Resize::kFit);
  EXPECT_EQ(divided.input_size, (vision::Size{1333, 800}));
  EXPECT_EQ(divided.pad_to(), (vision::Size{0, 0}));
  EXPECT_EQ(divided.batch_multiple, 32);
  EXPECT_EQ(divided.batch_pad_value, 0.5F);

  ASSERT_OK_AND_ASSIGN(const DetectorSettings padded, Read(R"(
test_pipeline = [dict(type='Resize', scale=640, keep_ratio=True),
                 dict(type='Pad', size_divisor=32)]
)"));
  EXPECT_EQ(padded.input_size, (vision::Size{640, 640}));
  EXPECT_EQ(padded.pad_multiple, 32);
  EXPECT_EQ(padded.batch_multiple, 1);

  ASSERT_OK_AND_ASSIGN(const DetectorSettings stretched,
                       Read("test_pipeline = [dict(type='Resize', scale=(640, 352))]"));
  EXPECT_EQ(stretched.resize, Resize::kStretch);
  EXPECT_EQ(stretched.interpolation, Interpolation::kBilinear);

  ASSERT_OK_AND_ASSIGN(const DetectorSettings grown, Read(R"(
test_pipeline = [dict(type='YOLOv5KeepRatioResize', scale=(640, 352)),
                 dict(type='LetterResize', scale=(672, 384))]
)"));
  EXPECT_TRUE(grown.letterbox_may_grow);
  EXPECT_EQ(grown.pad_to(), (vision::Size{672, 384}));

  ASSERT_OK_AND_ASSIGN(const DetectorSettings untouched,
                       Read("test_pipeline = [dict(type='LoadImageFromFile')]"));
  EXPECT_EQ(untouched.resize, Resize::kNone);
}

TEST(DetectorSettingsTest, AnInputSizeRescuesAPipelineThatCannotBeFollowed) {
  const auto with_size = [](const std::string& text, std::vector<std::string>* warnings) {
    return ReadSettings(ParsePythonConfig(text), {.resize = Resize::kLetterbox}, warnings,
                        vision::Size{640, 352});
  };
  std::vector<std::string> warnings;
  ASSERT_OK_AND_ASSIGN(const DetectorSettings rescued,
                       with_size("test_pipeline = [dict(type='Albu')]", &warnings));
  EXPECT_EQ(rescued.resize, Resize::kLetterbox);
  EXPECT_EQ(rescued.input_size, (vision::Size{640, 352}));
  EXPECT_EQ(rescued.pad_to(), (vision::Size{640, 352}));
  EXPECT_THAT(warnings, testing::ElementsAre(HasSubstr("Albu")));

  warnings.clear();
  ASSERT_OK_AND_ASSIGN(
      const DetectorSettings followed,
      with_size("test_pipeline = [dict(type='Resize', scale=(1333, 800), keep_ratio=True),"
                "dict(type='Pad', size_divisor=64, pad_val=7)]",
                &warnings));
  EXPECT_EQ(followed.resize, Resize::kFit);
  EXPECT_EQ(followed.input_size, (vision::Size{640, 352}));
  EXPECT_EQ(followed.pad_multiple, 32);
  EXPECT_EQ(followed.pad_value, (std::array{7, 7, 7}));
  EXPECT_THAT(warnings, testing::IsEmpty());
}

TEST(DetectorSettingsTest, YoloxStyleCountsNoDetections) {
  ASSERT_OK_AND_ASSIGN(const DetectorSettings settings,
                       Read("model = dict(test_cfg=dict(yolox_style=True, max_per_img=300))",
                            {.rule = PostprocessRule::kMmyolo}));

  EXPECT_EQ(settings.max_per_img, std::numeric_limits<int>::max());
}

TEST(DetectorSettingsTest, WrongValuesAreNamed) {
  const auto is_error = [](const char* part) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(part));
  };
  EXPECT_THAT(Read("model = dict(test_cfg=dict(score_thr='x'))"), is_error("score_thr"));
  EXPECT_THAT(Read("model = dict(test_cfg=dict(score_thr=2))"), is_error("-1 to 1"));
  EXPECT_THAT(Read("model = dict(test_cfg=dict(nms=dict(type='soft_nms')))"), is_error("soft_nms"));
  EXPECT_THAT(Read("model = dict(data_preprocessor=dict(std=[0, 1, 1]))"), is_error("std"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='Resize', keep_ratio=True)]"), is_error("no size"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='Pad', size=(64, 64), size_divisor=32)]"),
              is_error("size beside"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='Resize', scale=(64, 64), keep_ratio=True),"
                   "dict(type='Resize', scale=(32, 32))]"),
              is_error("first step"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='LetterResize', scale=(640, 640))]"),
              is_error("YOLOv5KeepRatioResize"));
  EXPECT_THAT(Read("test_pipeline = [dict(type='YOLOv5KeepRatioResize', scale=(640, 640))]"),
              is_error("LetterResize"));
  EXPECT_THAT(Read("model = build(1)"), is_error("line 1"));
}

// Which mmdet and mmyolo take for keys that a dict of theirs lacks, not the official configs'
// values.
TEST(DetectorSettingsTest, AnAbsentKeyIsWhatUpstreamTakesForIt) {
  EXPECT_EQ(ReadOk(TestCfg("score_thr=0.1")).nms_pre, -1);
  EXPECT_EQ(ReadOk(TestCfg("score_thr=0.1")).min_bbox_size, -1);
  const DetectorSettings mmyolo = {.rule = PostprocessRule::kMmyolo, .nms_pre = 7};
  EXPECT_EQ(ReadOk(TestCfg("score_thr=0.1"), mmyolo).nms_pre, 100000);
  EXPECT_FALSE(
      ReadOk(TestCfg("score_thr=0.1"), {.rule = PostprocessRule::kMmyolo, .yolox_style = true})
          .yolox_style);
  EXPECT_EQ(ReadOk(ResizeAndPad("", "")).pad_value, (std::array{0, 0, 0}));
  EXPECT_EQ(ReadOk(ResizeAndPad("", ", pad_val=dict(seg=1)")).pad_value, (std::array{0, 0, 0}));
  EXPECT_EQ(ReadOk(Pipeline("dict(type='YOLOv5KeepRatioResize', scale=(320, 320)),"
                            "dict(type='LetterResize', scale=(320, 320), allow_scale_up=False)"))
                .pad_value,
            (std::array{0, 0, 0}));
  EXPECT_EQ(ReadOk(Pipeline("dict(type='FixShapeResize', width=320, height=320)"),
                   {.interpolation = Interpolation::kBicubic})
                .interpolation,
            Interpolation::kBilinear);
}

TEST(DetectorSettingsTest, WithoutAMeanPixelsAreNotNormalized) {
  const DetectorSettings settings =
      ReadOk(Preprocessor("pad_size_divisor=32"), {.bgr_to_rgb = true});

  EXPECT_EQ(settings.mean, (std::array{0.F, 0.F, 0.F}));
  EXPECT_EQ(settings.std, (std::array{1.F, 1.F, 1.F}));
  EXPECT_FALSE(settings.bgr_to_rgb);
}

TEST(DetectorSettingsTest, OneMeanIsForAllChannels) {
  const DetectorSettings settings = ReadOk(Preprocessor("mean=[1.5], std=[2, 3, 4]"));

  EXPECT_EQ(settings.mean, (std::array{1.5F, 1.5F, 1.5F}));
  EXPECT_EQ(settings.std, (std::array{2.F, 3.F, 4.F}));
}

// rgb_to_bgr and bgr_to_rgb both swap the channels of what was read, which is BGR.
TEST(DetectorSettingsTest, BothConversionsSwapChannels) {
  EXPECT_TRUE(ReadOk(Preprocessor("rgb_to_bgr=True")).bgr_to_rgb);
  EXPECT_TRUE(ReadOk(Preprocessor("bgr_to_rgb=True")).bgr_to_rgb);
  EXPECT_FALSE(Read(Preprocessor("bgr_to_rgb=True, rgb_to_bgr=True")).ok());
}

// OpenCV takes a single float for the first channel only; a tuple and an integer are for all three.
TEST(DetectorSettingsTest, PaddingIsAsOpencvTakesIt) {
  const auto pad = [](const std::string& value) {
    return ReadOk(ResizeAndPad("", ", pad_val=" + value)).pad_value;
  };
  EXPECT_EQ(pad("dict(img=114)"), (std::array{114, 114, 114}));
  EXPECT_EQ(pad("114"), (std::array{114, 114, 114}));
  EXPECT_EQ(pad("dict(img=(104, 117, 123))"), (std::array{104, 117, 123}));
  EXPECT_EQ(pad("dict(img=114.0)"), (std::array{114, 0, 0}));
}

TEST(DetectorSettingsTest, NmsIsReadByAllItsNames) {
  EXPECT_EQ(ReadOk(TestCfg("nms=dict(type='nms', iou_thr=0.3)")).nms_iou_threshold, 0.3);
  const DetectorSettings settings = ReadOk(
      TestCfg("nms=dict(type='mmcv.nms', iou_threshold=0.3, class_agnostic=True, split_thr=500)"));
  EXPECT_TRUE(settings.class_agnostic);
  EXPECT_EQ(settings.nms_split_threshold, 500);
  EXPECT_EQ(ReadOk(TestCfg("nms_pre=-1")).nms_pre, -1);
}

// mmdet's detectors lay the model's test_cfg over the head's, key by key.
TEST(DetectorSettingsTest, TheModelsTestCfgIsLaidOverTheHeads) {
  const DetectorSettings settings = ReadOk(
      "model = dict(test_cfg=dict(score_thr=0.2, nms=dict(class_agnostic=True)),"
      "bbox_head=dict(test_cfg=dict(score_thr=0.1, nms_pre=77, nms=dict(iou_threshold=0.3))))");

  EXPECT_EQ(settings.score_threshold, 0.2);
  EXPECT_EQ(settings.nms_pre, 77);
  EXPECT_EQ(settings.nms_iou_threshold, 0.3);
  EXPECT_TRUE(settings.class_agnostic);
  EXPECT_FALSE(Read(TestCfg("nms=dict(iou_threshold=0.5, iou_thr=0.6)")).ok());
}

// mmdet's heads don't look at multi_label and yolox_style.
TEST(DetectorSettingsTest, AKeyOfTheOtherProjectHasNoEffect) {
  const DetectorSettings settings = ReadOk(TestCfg("multi_label=False, yolox_style=True"));

  EXPECT_TRUE(settings.multi_label);
  EXPECT_FALSE(settings.yolox_style);
}

TEST(DetectorSettingsTest, InterpolationIsHonoured) {
  EXPECT_EQ(ReadOk(ResizeAndPad(", interpolation='area'", "")).interpolation, Interpolation::kArea);
  EXPECT_EQ(ReadOk(ResizeAndPad(", interpolation='nearest'", "")).interpolation,
            Interpolation::kNearest);
}

TEST(DetectorSettingsTest, ThePipelineIsTheOneThatMmdetTestsWith) {
  const std::string steps =
      "[dict(type='Resize', scale=(320, 320), keep_ratio=True), dict(type='Pad', size=(320, 320))]";
  const std::string other =
      "other = [dict(type='Resize', scale=(64, 64), keep_ratio=True),"
      "dict(type='Pad', size=(64, 64))]\n";
  for (const std::string& text :
       {"test_dataloader = dict(dataset=dict(pipeline=" + steps + "))",
        "test_dataloader = dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=" + steps +
            ")))",
        "test_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[dict(pipeline=" +
            steps + "), dict(pipeline=other)]))",
        "test_dataloader = [dict(dataset=dict(pipeline=" + steps + ")), 1]",
        "test_dataloader = dict(batch_size=1)\ntest_pipeline = " + steps,
        "val_dataloader = dict(dataset=dict(pipeline=" + steps + "))",
        "val_dataloader = dict(dataset=dict(pipeline=other))\ntest_pipeline = " + steps,
        "tta_pipeline = [dict(type='TestTimeAug', transforms=other)]\ntest_pipeline = " + steps}) {
    EXPECT_EQ(ReadOk(other + text).input_size, (vision::Size{320, 320})) << text;
  }
}

TEST(DetectorSettingsTest, WhatWouldChangeAnswersIsRefusedByName) {
  const auto refusal = [](const std::string& text) {
    const absl::StatusOr<DetectorSettings> settings = Read(text);
    EXPECT_FALSE(settings.ok()) << text;
    return std::string(settings.status().message());
  };
  EXPECT_THAT(refusal(TestCfg("nms=dict(type='soft_nms', iou_threshold=0.5)")),
              HasSubstr("soft_nms"));
  EXPECT_THAT(refusal(TestCfg("nms=dict(iou_threshold=0.5, offset=1)")), HasSubstr("offset = 1"));
  EXPECT_THAT(refusal(TestCfg("nms=None")), HasSubstr("nms = None"));
  EXPECT_THAT(refusal(TestCfg("max_per_img=-1")), HasSubstr("max_per_img"));
  EXPECT_THAT(refusal(Preprocessor("mean=[1, 2, 3]")), HasSubstr("mean and std"));
  EXPECT_THAT(refusal(Preprocessor("mean=[1, 2], std=[1, 2]")), HasSubstr("mean"));
  EXPECT_THAT(refusal("model = dict(data_preprocessor=dict(type='MultiBranchDataPreprocessor'))"),
              HasSubstr("MultiBranchDataPreprocessor"));
  EXPECT_THAT(refusal(ResizeAndPad(", backend='pillow'", "")), HasSubstr("backend = 'pillow'"));
  EXPECT_THAT(refusal(ResizeAndPad(", interpolation='hamming'", "")), HasSubstr("hamming"));
  EXPECT_THAT(refusal(ResizeAndPad("", ", padding_mode='reflect'")), HasSubstr("reflect"));
  EXPECT_THAT(refusal(ResizeAndPad("", ", size_divisor=32")), HasSubstr("size_divisor"));
  for (const std::string& key :
       std::vector<std::string>{"use_mini_pad", "stretch_only", "half_pad_param"}) {
    EXPECT_THAT(refusal(Pipeline("dict(type='LetterResize', scale=(640, 640), " + key + "=True)")),
                HasSubstr(key + " = True"));
  }
  EXPECT_THAT(refusal(ResizeAndPad("", ", pad_val=dict(img=(1, 2))")), HasSubstr("pad_val"));
  for (const char* step :
       {"dict(type='TestTimeAug', transforms=[])", "dict(type='MultiScaleFlipAug')",
        "dict(type='Normalize', mean=[1])", "dict(type='Albu')",
        "dict(type='RandomFlip', prob=0.5)",
        "dict(type='LoadImageFromFile', color_type='grayscale')",
        "dict(type='LoadImageFromFile', color_type='unchanged')",
        "dict(type='LoadImageFromFile', to_float32=True)", "dict(type=build())", "build()"}) {
    EXPECT_THAT(refusal(Pipeline(step)), HasSubstr("test_pipeline")) << step;
  }
}

TEST(DetectorSettingsTest, WhatIsNotFollowedIsWarnedAbout) {
  const auto warning = [](const std::string& text) {
    std::vector<std::string> warnings;
    EXPECT_TRUE(Read(text, {}, &warnings).ok()) << text;
    return warnings.empty() ? std::string() : warnings[0];
  };
  EXPECT_THAT(warning(TestCfg("magic=3")), HasSubstr("test_cfg magic = 3"));
  EXPECT_THAT(warning(TestCfg("magic=build()")), HasSubstr("test_cfg magic"));
  EXPECT_THAT(warning(ResizeAndPad(", magic=3", "")), HasSubstr("test_pipeline Resize magic"));
  EXPECT_THAT(warning(Preprocessor("magic=3")), HasSubstr("data_preprocessor magic"));
  EXPECT_THAT(warning("model = dict(type='MyDetector')"), HasSubstr("MyDetector"));
  EXPECT_THAT(warning(Pipeline("dict(type='LoadImageFromFile', imdecode_backend='pillow')")),
              HasSubstr("imdecode_backend = 'pillow'"));
  EXPECT_THAT(
      warning(Pipeline("dict(type='LoadImageFromFile', color_type='color_ignore_orientation')")),
      HasSubstr("EXIF"));
  const std::string letterbox =
      "dict(type='YOLOv5KeepRatioResize', scale=(320, 320)),"
      "dict(type='LetterResize', scale=(320, 320), allow_scale_up=False, pad_val=dict(img=114)),";
  EXPECT_THAT(warning(Pipeline(letterbox + "dict(type='PackDetInputs')")), HasSubstr("pad_param"));
  EXPECT_EQ(
      warning(Pipeline(letterbox + "dict(type='PackDetInputs', meta_keys=('x', 'pad_param'))")),
      "");
  EXPECT_EQ(warning(Pipeline("dict(type='LoadImageFromFile', backend_args=build()),"
                             "dict(type='LoadAnnotations', magic=1)")),
            "");
  EXPECT_EQ(warning(Preprocessor("batch_augments=[build()], pad_mask=True, non_blocking=x")), "");
}

TEST(DetectorSettingsTest, KeysOfTheModelThatNothingReadsAreWarnedAbout) {
  const auto warnings_of = [](const std::string& keys) {
    std::vector<std::string> warnings;
    EXPECT_TRUE(Read("model = dict(type='RTMDet', " + keys + ")", {}, &warnings).ok()) << keys;
    return warnings;
  };
  EXPECT_THAT(
      warnings_of("mask_head=dict(type='CondInstMaskHead')"),
      testing::ElementsAre(HasSubstr("model mask_head = dict(type='CondInstMaskHead', …)")));
  EXPECT_THAT(warnings_of("necks=[1], test_config=None"),
              testing::ElementsAre(HasSubstr("model necks = (1)"),
                                   HasSubstr("model test_config = None is not known")));
  EXPECT_THAT(warnings_of("_scope_='mmdet', backbone=dict(), neck=dict(), bbox_head=dict(), "
                          "data_preprocessor=None, test_cfg=None, train_cfg=dict(assigner=1), "
                          "init_cfg=dict(checkpoint='x'), use_syncbn=False, pretrained='x'"),
              testing::IsEmpty());
}

TEST(DetectorSettingsTest, OnlyAnOpaqueValueThatMattersIsAnErrorAndIsNamed) {
  EXPECT_TRUE(Read("train_pipeline = build()\nmodel = dict(backbone=build(), train_cfg=x.y)").ok());
  EXPECT_THAT(Read(TestCfg("score_thr=get()")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       testing::AllOf(HasSubstr("'test_cfg score_thr'"), HasSubstr("line 1"),
                                      HasSubstr("get()"))));
  for (const char* text :
       {"model = dict(test_cfg=build())", "model = dict(data_preprocessor=build())",
        "model = dict(**build())", "test_pipeline = build()", "test_dataloader = build()",
        "test_pipeline = [dict(type='Resize', scale=x, keep_ratio=True)]",
        "test_pipeline = [dict(type='Pad', pad_val=dict(img=x))]",
        "test_pipeline = [dict(type='Pad', **x)]", "_base_ = 'x.py'", "model = dict(",
        "from x import *", "test_pipeline = [a for a in b]"}) {
    EXPECT_THAT(Read(text),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not understood")))
        << text;
  }
}

TEST(DetectorSettingsTest, EveryChangeOfAnswersChangesTheFingerprint) {
  DetectorSettings other;
  other.nms_iou_threshold = 0.6;

  EXPECT_NE(other.Fingerprint(), DetectorSettings().Fingerprint());
  for (const DetectorSettings& changed :
       {DetectorSettings{.interpolation = Interpolation::kArea},
        DetectorSettings{.pad_value = {114, 114, 0}}, DetectorSettings{.class_agnostic = true},
        DetectorSettings{.nms_split_threshold = 7}, DetectorSettings{.nms_pre = -1}}) {
    EXPECT_NE(changed.Fingerprint(), DetectorSettings().Fingerprint());
  }
}

}  // namespace
}  // namespace detector
