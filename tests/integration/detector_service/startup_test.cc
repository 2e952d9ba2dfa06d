// The program itself: how it starts, and how it refuses to.

#include <gmock/gmock.h>
#include <signal.h>

#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace detector {
namespace {

using duet_testing::IntField;
using duet_testing::Subprocess;
using testing::HasSubstr;
using testing::Not;

const std::string kTiny = std::string(DUET_TEST_DATA) + "/detector/tiny.pth";

std::vector<std::string> Command(const std::string& checkpoint,
                                 const std::vector<std::string>& more = {}) {
  std::vector<std::string> command = {DUET_DETECTOR, "--checkpoint=" + checkpoint, "--port=0",
                                      "--metrics_port=0", "--threads=2"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

TEST(DetectorStartupTest, ServesAndDrains) {
  Subprocess detector(Command(kTiny));

  ASSERT_OK_AND_ASSIGN(const std::string line, detector.WaitForLine("\"event\":\"serving\""));
  EXPECT_GT(IntField(line, "port"), 0);
  ASSERT_OK_AND_ASSIGN(const std::string ready, detector.WaitForLine("\"event\":\"model.ready\""));
  EXPECT_GT(IntField(ready, "classes"), 0);
  EXPECT_EQ(IntField(ready, "threads"), 2);
  detector.Signal(SIGTERM);
  EXPECT_EQ(detector.Wait(), 0);
}

TEST(DetectorStartupTest, TheFormerNameOfTheImageLimitIsAWarning) {
  Subprocess detector(Command(kTiny, {"--max_megapixels=50"}));

  ASSERT_OK_AND_ASSIGN(const std::string line, detector.WaitForLine("\"event\":\"flag.renamed\""));
  EXPECT_THAT(line, HasSubstr("--max_megapixels is now --max_image_megapixels"));
  ASSERT_OK_AND_ASSIGN(const std::string serving, detector.WaitForLine("\"event\":\"serving\""));
  detector.Signal(SIGTERM);
  EXPECT_EQ(detector.Wait(), 0);
}

TEST(DetectorStartupTest, WhatIsInTheKernelPlanIsNotMeasuredAgain) {
  const duet_testing::TempDir dir;
  const std::string plan = dir.path() + "/kernel_plan";
  for (const bool first : {true, false}) {
    Subprocess detector(Command(kTiny, {"--kernel_plan=" + plan}));
    ASSERT_OK_AND_ASSIGN(const std::string line, detector.WaitForLine("\"event\":\"kernel_plan\""));
    EXPECT_EQ(IntField(line, "measured"), first ? IntField(line, "layers") : 0);
    EXPECT_GT(IntField(line, "layers"), 0);
    detector.Signal(SIGTERM);
    EXPECT_EQ(detector.Wait(), 0);
    EXPECT_THAT(detector.err(), Not(HasSubstr("kernel_plan.not_kept")));
  }
  EXPECT_THAT(duet_testing::ReadFile(plan), HasSubstr("\nconv3x3/1 fp32 "));
}

struct Refusal {
  std::vector<std::string> command;
  std::string message;  // part of it
};

TEST(DetectorStartupTest, WhatItCannotServeIsOneLineAndExitCodeOne) {
  const duet_testing::TempDir dir;
  std::string damaged = duet_testing::ReadFile(kTiny);
  damaged.resize(damaged.size() / 2);
  const std::string bad_config = dir.Write("bad.py", "model = dict(test_cfg=dict(score_thr='?'))");
  const Refusal refusals[] = {
      {Command(dir.path() + "/none.pth"), "none.pth: "},
      {Command(dir.Write("half.pth", damaged)), "half.pth: "},
      {Command(dir.Write("text.pth", "hello")), "text.pth: "},
      {Command(std::string(DUET_TEST_DATA) + "/segmenter/sam_a.pth"), "duet-segmenter"},
      {Command(kTiny, {"--config_file=" + bad_config}), "bad.py: model config: test_cfg score_thr"},
      {Command(kTiny, {"--kernel_plan=" + bad_config}), "bad.py: line 1 is 'model = dict("},
      {Command(kTiny, {"--device=cuda"}), "device 'cuda'"},
      {Command(kTiny, {"--device=gpu:7"}), "device 'cuda:7'"},
  };
  for (const Refusal& refusal : refusals) {
    Subprocess detector(refusal.command);
    EXPECT_EQ(detector.Wait(), 1) << refusal.message;
    EXPECT_THAT(detector.err(), HasSubstr("\"event\":\"startup.failed\""));
    EXPECT_THAT(detector.err(), HasSubstr(refusal.message));
    EXPECT_THAT(detector.err(), Not(HasSubstr("\"event\":\"serving\"")));
  }
}

}  // namespace
}  // namespace detector
