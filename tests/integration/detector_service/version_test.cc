// What a detector's version tells apart, and what it doesn't (docs/adr/0408).
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "detector_service/inference/detection_model.h"
#include "nn/onednn/cpu.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace detector {
namespace {

class DetectorVersionTest : public testing::Test {
 protected:
  static std::string Data(const std::string& file) {
    return std::string(DUET_TEST_DATA) + "/detector/" + file;
  }

  // Small, since compiling is most of the time.
  static std::string VersionOf(LoadOptions options) {
    if (options.checkpoint.empty()) options.checkpoint = Data("tiny.pth");
    if (!options.input_size) options.input_size = {64, 64};
    const auto model = DetectionModel::Load(options);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? (*model)->version() : "";
  }
  std::string VersionWith(const std::string& config, const std::string& checkpoint = "") {
    const std::string path = folder_.Write("config.py", config);
    return VersionOf({.checkpoint = checkpoint, .config_file = path});
  }

  duet_testing::TempDir folder_;
};

TEST_F(DetectorVersionTest, EveryFlagThatChangesAnswersChangesIt) {
  const std::pair<const char*, LoadOptions> variants[] = {
      {"none", {}},
      {"score_threshold", {.score_threshold = 0.50000001}},
      {"max_detections", {.max_detections = 299}},
      {"nms_iou_threshold", {.nms_iou_threshold = 0.6500001}},
      {"input_size", {.input_size = vision::Size{96, 96}}},
      {"input_size of a rectangle", {.input_size = vision::Size{96, 64}}},
      {"checkpoint", {.checkpoint = Data("exp.pth")}},
  };
  std::map<std::string, std::string> seen;
  for (const auto& [name, options] : variants) {
    const auto [other, is_new] = seen.emplace(VersionOf(options), name);
    EXPECT_TRUE(is_new) << name << " and " << other->second << " share " << other->first;
  }
}

TEST_F(DetectorVersionTest, WhatTheNetworkReadsFromTheConfigFileIsInIt) {
  const std::string with = VersionWith("model = dict(bbox_head=dict(exp_on_reg=True))");
  const std::string without = VersionWith("model = dict(bbox_head=dict(exp_on_reg=False))");

  EXPECT_NE(with, without);
  EXPECT_EQ(with, VersionWith("# as above\nmodel = dict(\n  bbox_head = {'exp_on_reg': True},\n)"));
}

TEST_F(DetectorVersionTest, AnchorsAreInIt) {
  const auto with = [&](const char* first) {
    return VersionWith(
        std::string("model = dict(bbox_head=dict(prior_generator=dict(base_sizes=[[(") + first +
            ", 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], "
            "[(116, 90), (156, 198), (373, 326)]])))",
        Data("yolov5.pth"));
  };

  EXPECT_NE(with("10"), with("11"));
}

TEST_F(DetectorVersionTest, ClassNamesOfTheConfigFileAreInIt) {
  const auto file = checkpoint::ReadCheckpoint(Data("tiny.pth"));
  ASSERT_THAT(file.status(), duet_testing::IsOk());
  const std::string bare = folder_.path() + "/bare.safetensors";
  ASSERT_THAT(checkpoint::WriteSafetensors(bare, file->state_dict, {}), duet_testing::IsOk());

  EXPECT_NE(VersionWith("metainfo = dict(classes=('cat', 'dog', 'bus', 'car', 'cup'))", bare),
            VersionWith("metainfo = dict(classes=('cat', 'cow', 'bus', 'car', 'cup'))", bare));
}

TEST_F(DetectorVersionTest, TheFormOfTheSameArithmeticIsNotInIt) {
  EXPECT_EQ(VersionOf({}), VersionOf({.plain = true}));
}

// Allowed, bf16 is computed only where that is faster: the version tells what is computed.
TEST_F(DetectorVersionTest, Bf16IsInItWhereItIsComputed) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "this CPU has no bf16";

  const std::string allowed = VersionOf({.precision = "bf16"});

  EXPECT_EQ(allowed != VersionOf({}), nn::onednn::CpuGainsFromBFloat16()) << allowed;
}

}  // namespace
}  // namespace detector
