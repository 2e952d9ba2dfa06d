// Files that mmengine's Runner and OpenMMLab's publish_model.py wrote, made small by
// tools/shrink_runner_checkpoint.py: with optimizer, EMA copies, message hub and history buffers of
// numpy arrays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "checkpoint/checkpoint.h"

namespace checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class RunnerFilesTest : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(RunnerFilesTest, ReadAsTheRunnerWroteThem) {
  const auto [file, format] = GetParam();

  const auto read = ReadCheckpoint(std::string(DUET_TEST_DATA "/checkpoint/") + file);

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_STREQ(read->format, format);
  EXPECT_EQ(read->wrapper_key, "state_dict");
  EXPECT_THAT(read->meta.classes, ElementsAre("cat", "dog"));
  EXPECT_EQ(read->meta.config_text, "model = dict(type='RTMDet')\n");
  EXPECT_EQ(read->meta.mmengine_version, "0.10.7");
  EXPECT_THAT(read->state_dict, SizeIs(48));

  const TensorView* weight = Find(read->state_dict, "bbox_head.cls_convs.0.0.conv.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_THAT(weight->shape, ElementsAre(16, 16, 3, 3));
  // The head's convolutions are the same for all three levels.
  EXPECT_EQ(weight->data, Find(read->state_dict, "bbox_head.cls_convs.2.0.conv.weight")->data);
  const TensorView* batches = Find(read->state_dict, "backbone.stem.0.bn.num_batches_tracked");
  ASSERT_NE(batches, nullptr);
  EXPECT_EQ(batches->dtype, DType::kInt64);
  std::int64_t count = 0;
  std::memcpy(&count, batches->data, sizeof count);
  EXPECT_EQ(count, 1);  // of the EMA copy, which the Runner saves as the state_dict
}

INSTANTIATE_TEST_SUITE_P(All, RunnerFilesTest,
                         ::testing::Values(std::pair("runner_zip.pth", "zip"),
                                           std::pair("runner_legacy.pth", "legacy"),
                                           std::pair("published_legacy.pth", "legacy")),
                         [](const auto& info) {
                           const std::string file = info.param.first;
                           return file.substr(0, file.find('.'));
                         });

}  // namespace
}  // namespace checkpoint
