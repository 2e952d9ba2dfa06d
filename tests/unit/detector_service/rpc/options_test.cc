#include "detector_service/rpc/options.h"

#include <gmock/gmock.h>

#include <optional>
#include <string>

#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

absl::Status Parse(const char* flag, Options* options) {
  serving::FlagTable flags("duet-test", "Tests.");
  AddFlags(options, &flags);
  const char* arguments[] = {"duet-test", "--checkpoint=a.pth", flag};
  return flags.Parse(3, arguments, [](const char*) { return nullptr; });
}

TEST(OptionsTest, AnInputSizeIsASideOrTwo) {
  const auto size = [](const char* flag) {
    Options options;
    EXPECT_THAT(Parse(flag, &options), IsOk()) << flag;
    return options.load_options().input_size;
  };
  EXPECT_EQ(size("--input_size=0"), std::nullopt);
  EXPECT_EQ(size("--input_size=640"), (vision::Size{640, 640}));
  EXPECT_EQ(size("--input_size=640x352"), (vision::Size{640, 352}));
  EXPECT_EQ(size("--input_size=4096x32"), (vision::Size{4096, 32}));
}

TEST(OptionsTest, AnInputSizeThatNoNetworkRunsIsRefused) {
  for (const char* flag :
       {"--input_size=", "--input_size=33", "--input_size=640x350", "--input_size=640x0",
        "--input_size=0x0", "--input_size=-32", "--input_size=4128", "--input_size=640x",
        "--input_size=640x352x3", "--input_size=640*352"}) {
    Options options;
    EXPECT_THAT(Parse(flag, &options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("multiple of 32")))
        << flag;
  }
}

}  // namespace
}  // namespace detector
