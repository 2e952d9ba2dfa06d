#include "model_service/common_options.h"

#include <gmock/gmock.h>

#include <vector>

#include "tests/testing/status_matchers.h"

namespace model_service {
namespace {

using duet_testing::IsOk;

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

}  // namespace
}  // namespace model_service
