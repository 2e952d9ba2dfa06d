// The config of a fine-tuned model is the source's, but for what changed. That mmdet reads it, too,
// tests tools/check_fine_tuned.py, which needs mmdet.
#include "trainer/run/model_config.h"

#include <gmock/gmock.h>

#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"
#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using detector::ParsePythonConfig;
using detector::PythonValue;
using duet_testing::StatusIs;
using testing::HasSubstr;
using testing::Not;

const ModelConfigChanges kChanges = {.classes = {"bolt", "it's"},
                                     .palette = {{220, 20, 60}, {0, 82, 255}},
                                     .revision = "0123456789abcdef",
                                     .input_size = {}};

constexpr char kSource[] = R"(max_epochs = 300
model = dict(
    bbox_head=dict(exp_on_reg=True, num_classes=80, type='RTMDetSepBNHead'),
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], type='DetDataPreprocessor'),
    type='RTMDet')
test_dataloader = dict(dataset=dict(
    metainfo=dict(classes=('person', )),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(keep_ratio=True, scale=(320, 320), type='Resize'),
        dict(pad_val=dict(img=(114, 114, 114)), size=(320, 320), type='Pad'),
        dict(type='PackDetInputs'),
    ],
    type='CocoDataset'))
test_pipeline = []
)";

std::string Changed(const std::string& source, const ModelConfigChanges& changes = kChanges) {
  const auto text = FineTunedConfig(source, detector::ScaledRtmdet(0.375, 0.167, 2), changes);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

TEST(ModelConfigTest, OnlyWhatChangedIsDifferent) {
  const std::string text = Changed(kSource);
  const detector::PythonConfig config = ParsePythonConfig(text);

  EXPECT_TRUE(text.starts_with(kSource));
  EXPECT_EQ(*config.values.Find({"model", "bbox_head", "num_classes"})->integer(), 2);
  EXPECT_TRUE(*config.values.Find({"model", "bbox_head", "exp_on_reg"})->boolean());
  EXPECT_EQ(*config.values.Find("max_epochs")->integer(), 300);
  const PythonValue* const meta = config.values.Find({"test_dataloader", "dataset", "metainfo"});
  ASSERT_NE(meta, nullptr);
  EXPECT_EQ(*(*meta->Find("classes")->list())[1].string(), "it's");
  EXPECT_EQ(*(*(*meta->Find("palette")->list())[1].list())[2].integer(), 255);
  EXPECT_EQ(*config.values.Find({"val_dataloader", "dataset", "ann_file"})->string(),
            "revisions/0123456789abcdef/validation.json");
  ASSERT_OK_AND_ASSIGN(const detector::DetectorSettings settings, detector::ReadSettings(config));
  EXPECT_EQ(settings.input_size, (vision::Size{320, 320}));
  EXPECT_FLOAT_EQ(settings.mean[1], 2.0F);
}

TEST(ModelConfigTest, AnEarlierFineTuningIsReplaced) {
  ModelConfigChanges later = kChanges;
  later.classes = {"nut"};

  const std::string text = Changed(Changed(kSource), later);

  EXPECT_THAT(text, Not(HasSubstr("bolt")));
  EXPECT_EQ(text, Changed(kSource, later));
  EXPECT_THAT(text, HasSubstr("('nut', )")) << "one class is a tuple, too";
}

TEST(ModelConfigTest, AnotherInputSizeIsThePipelines) {
  ModelConfigChanges changes = kChanges;
  changes.input_size = vision::Size{416, 320};

  const detector::PythonConfig config = ParsePythonConfig(Changed(kSource, changes));

  ASSERT_OK_AND_ASSIGN(const detector::DetectorSettings settings, detector::ReadSettings(config));
  EXPECT_EQ(settings.input_size, (vision::Size{416, 320}));
  EXPECT_EQ(settings.pad_to(), (vision::Size{416, 320}));
}

TEST(ModelConfigTest, ThePipelineIsFoundWhereverTheSourceHasIt) {
  for (const char* source :
       {"model = dict(bbox_head=dict(num_classes=1))\ntest_dataloader = None\n"
        "test_pipeline = [dict(type='Resize', scale=(64, 32), keep_ratio=True)]\n",
        "model = dict(bbox_head=dict(num_classes=1))\n"
        "test_dataloader = dict(dataset=dict(type='ConcatDataset', dataset=dict("
        "pipeline=[dict(type='Resize', scale=(64, 32), keep_ratio=True)])))\n"}) {
    const detector::PythonConfig config = ParsePythonConfig(Changed(source));
    const PythonValue* const pipeline =
        config.values.Find({"test_dataloader", "dataset", "pipeline"});
    ASSERT_NE(pipeline, nullptr);
    ASSERT_NE(pipeline->list(), nullptr) << Changed(source);
    EXPECT_EQ(pipeline->list()->size(), 1u);
  }
}

TEST(ModelConfigTest, WithoutAConfigOneIsWrittenThatGivesTheNetwork) {
  detector::RtmdetConfig network = detector::ScaledRtmdet(0.25, 0.33, 2);
  network.depthwise = {.backbone = true, .neck = true, .head = true};
  network.share_conv = false;

  ASSERT_OK_AND_ASSIGN(const std::string text, FineTunedConfig("", network, kChanges));

  const detector::PythonConfig config = ParsePythonConfig(text);
  const PythonValue* const backbone = config.values.Find({"model", "backbone"});
  ASSERT_NE(backbone, nullptr);
  double deepen = 0;
  ASSERT_TRUE(backbone->Find("deepen_factor")->number(&deepen));
  EXPECT_EQ(detector::ScaledRtmdet(0.25, deepen, 2).stage_blocks, network.stage_blocks);
  EXPECT_TRUE(*backbone->Find("use_depthwise")->boolean());
  EXPECT_FALSE(*config.values.Find({"model", "bbox_head", "share_conv"})->boolean());
  EXPECT_EQ(*config.values.Find({"model", "neck", "out_channels"})->integer(), 64);
  ASSERT_OK_AND_ASSIGN(const detector::DetectorSettings settings, detector::ReadSettings(config));
  EXPECT_EQ(settings.input_size, (vision::Size{320, 320}));
}

// RTMDet-m and larger have it officially; mmdet takes a config that doesn't say it for False.
TEST(ModelConfigTest, WhatWasTrainedIsSaidWhereTheSourceLeavesItOpen) {
  const std::string source = "model = dict(bbox_head=dict(num_classes=1))\n";
  const detector::RtmdetConfig medium = detector::ScaledRtmdet(0.75, 0.67, 2);
  ASSERT_TRUE(medium.exp_on_reg);

  ASSERT_OK_AND_ASSIGN(const std::string text, FineTunedConfig(source, medium, kChanges));

  const detector::PythonConfig config = ParsePythonConfig(text);
  const PythonValue* const said = config.values.Find({"model", "bbox_head", "exp_on_reg"});
  ASSERT_NE(said, nullptr);
  EXPECT_TRUE(*said->boolean());
  EXPECT_THAT(Changed(source), Not(HasSubstr("exp_on_reg"))) << "of a tiny one";
}

TEST(ModelConfigTest, AConfigWithoutAHeadIsRefused) {
  EXPECT_THAT(FineTunedConfig("x = 1\n", detector::ScaledRtmdet(0.25, 0.33, 2), kChanges),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bbox_head")));
}

}  // namespace
}  // namespace trainer
