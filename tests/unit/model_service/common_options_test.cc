#include "model_service/common_options.h"

#include <gmock/gmock.h>

#include <vector>

#include "tests/testing/status_matchers.h"

namespace model_service {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;

CommonOptions Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"duet-test", "--checkpoint=a.pth"});
  CommonOptions options;
  serving::FlagTable flags("duet-test", "Tests.");
  AddFlags(&options, "The weights.", &flags);
  EXPECT_THAT(flags.Parse(static_cast<int>(arguments.size()), arguments.data(),
                          [](const char*) { return nullptr; }),
              IsOk());
  return options;
}

TEST(CommonOptionsTest, AnImageMayBeAsLargeAsAMessageUnlessAFlagSaysOtherwise) {
  EXPECT_EQ(Parse({}).image_limits().max_bytes, 64 << 20);
  EXPECT_EQ(Parse({"--max_message_mb=128"}).image_limits().max_bytes, 128 << 20);
  EXPECT_EQ(Parse({"--max_message_mb=128", "--max_image_mb=1"}).image_limits().max_bytes, 1 << 20);
}

TEST(CommonOptionsTest, PixelsAreLimitedInMillions) {
  EXPECT_EQ(Parse({"--max_image_megapixels=2"}).image_limits().max_pixels, 2'000'000);
}

TEST(CommonOptionsTest, ReloadingIsOffUnlessAFlagTurnsItOn) {
  EXPECT_FALSE(Parse({}).reload.enabled);
  const CommonOptions options = Parse({"--enable_reload", "--model_root=/models"});
  EXPECT_TRUE(options.reload.enabled);
  EXPECT_EQ(options.reload.model_root, "/models");
}

TEST(CommonOptionsTest, ADeviceIsWrittenAsPytorchAndPeopleWriteIt) {
  const auto device = [](const char* flag) { return Parse({flag}).device.name; };
  EXPECT_EQ(Parse({}).device.name, "cpu");
  for (const char* flag : {"--device=cpu", "--device=cpu:0", "--device=CPU", "--device=Cpu:0"}) {
    EXPECT_EQ(device(flag), "cpu") << flag;
  }
  EXPECT_EQ(device("--device=cuda"), "cuda");
  EXPECT_EQ(device("--device=CUDA:1"), "cuda:1");
  EXPECT_EQ(device("--device=gpu"), "cuda");
  EXPECT_EQ(device("--device=gpu:0"), "cuda:0");
}

TEST(CommonOptionsTest, AnotherDeviceIsRefused) {
  for (const char* flag : {"--device=", "--device=cpu:1", "--device=cuda:", "--device=cuda:x",
                           "--device=cuda1", "--device=tpu", "--device=cuda:0,1"}) {
    CommonOptions options;
    serving::FlagTable flags("duet-test", "Tests.");
    AddFlags(&options, "The weights.", &flags);
    const char* arguments[] = {"duet-test", "--checkpoint=a.pth", flag};
    EXPECT_THAT(flags.Parse(3, arguments, [](const char*) { return nullptr; }),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         testing::HasSubstr("must be cpu, cuda or cuda:N")))
        << flag;
  }
}

}  // namespace
}  // namespace model_service
