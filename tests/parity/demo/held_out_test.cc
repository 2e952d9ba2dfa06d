#include "trainer/scenes/held_out.h"

#include <gtest/gtest.h>

#include <string>

#include "nn/onednn/cpu.h"
#include "trainer/evaluate/held_out_scores.h"

namespace trainer {
namespace {

// Few scenes, so that the test is quick; models/demo/README.md has the scores on more of them. The
// bounds are what the checked-in files reach on these scenes, less a margin for another CPU's
// rounding.
constexpr int kScenes = 12;
constexpr double kLeastBoxAp50 = 0.98;
constexpr double kLeastMaskIouFromBox = 0.90;
constexpr double kLeastMaskIouFromClick = 0.87;

TEST(DemoModelsTest, TheDetectorFindsHeldOutShapes) {
  const auto score =
      ScoreDetector(DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth", HeldOutScenes(1, kScenes));
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_GE(score->boxes.all.ap50.value_or(0), kLeastBoxAp50);
}

TEST(DemoModelsTest, TheDetectorIsAsGoodInBFloat16) {
  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "no bf16 on this CPU";
  const std::string file = DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth";
  const auto scenes = HeldOutScenes(1, 60);  // 293 shapes: one more or less moves AP50 by 0.003
  const auto fp32 = ScoreDetector(file, scenes);
  ASSERT_TRUE(fp32.ok()) << fp32.status();

  const auto bf16 = ScoreDetector(file, scenes, "bf16");

  ASSERT_TRUE(bf16.ok()) << bf16.status();
  EXPECT_NEAR(bf16->boxes.all.ap50.value_or(0), fp32->boxes.all.ap50.value_or(-1), 0.003);
}

TEST(DemoModelsTest, TheSegmenterCutsOutTheShapeThatIsMeant) {
  const auto score =
      ScoreSegmenter(DUET_SOURCE_DIR "/models/demo/sam-demo.pth", HeldOutScenes(1, kScenes));
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_GE(score->box, kLeastMaskIouFromBox);
  EXPECT_GE(score->click, kLeastMaskIouFromClick);
  EXPECT_GE(score->second_click, score->click);  // a correction helps
}

}  // namespace
}  // namespace trainer
