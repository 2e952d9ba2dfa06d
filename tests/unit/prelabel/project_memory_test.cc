#include "prelabel/project_memory.h"

#include <gmock/gmock.h>

#include <string>

namespace prelabel {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;

ProjectSetup WithThreshold(double threshold) {
  ProjectSetup setup;
  setup.settings.score_threshold = threshold;
  return setup;
}

TEST(ProjectMemoryTest, AFloodOfProjectsLeavesTheOnesInUse) {
  ProjectMemory memory;
  memory.Remember("/1", WithThreshold(0.25));
  for (int i = 0; i < 30'000; ++i) {
    memory.Remember("/x" + std::to_string(i), WithThreshold(0.5));
    ASSERT_TRUE(i % 1000 != 0 || memory.Find("/1").has_value()) << i;
  }
  EXPECT_EQ(memory.Find("/1")->settings.score_threshold, 0.25);
  EXPECT_FALSE(memory.Find("/x0").has_value());
  EXPECT_TRUE(memory.Find("/x29999").has_value());
}

TEST(ProjectMemoryTest, LargeSettingsAreBoundedByTheirBytes) {
  ProjectMemory memory;
  ProjectSetup large;
  large.settings.label_map["a"] = std::string(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) memory.Remember("/" + std::to_string(i), large);

  EXPECT_FALSE(memory.Find("/30").has_value());
  EXPECT_TRUE(memory.Find("/99").has_value());
}

TEST(ProjectMemoryTest, AWarningEndsADayAfterItWasSaidLast) {
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  ProjectMemory memory([&now] { return now; });
  memory.SetWarning("/kept", "no label");
  memory.SetWarning("/deleted", "no label");
  memory.SetWarning("/mended", "no label");
  memory.SetWarning("/mended", "");
  EXPECT_THAT(memory.warnings(), SizeIs(2));

  now += absl::Hours(20);
  memory.SetWarning("/kept", "no label");
  now += absl::Hours(4);

  EXPECT_THAT(memory.warnings(), ElementsAre(Pair("/kept", "no label")));
}

TEST(ProjectMemoryTest, OfVeryManyWarningsTheOldestGo) {
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  ProjectMemory memory([&now] { return now; });
  for (int i = 0; i < 1000; ++i) {
    memory.SetWarning("/" + std::to_string(i), "no label");
    now += absl::Seconds(1);
  }
  EXPECT_LE(memory.warnings().size(), 500u);
  EXPECT_FALSE(memory.HasWarning("/0"));
  EXPECT_TRUE(memory.HasWarning("/999"));
}

}  // namespace
}  // namespace prelabel
