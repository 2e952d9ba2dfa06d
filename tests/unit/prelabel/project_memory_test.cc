#include "prelabel/project_memory.h"

#include <gmock/gmock.h>

#include <string>

namespace prelabel {
namespace {

using About = ProjectMemory::About;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

auto Of(const std::string& key, About about, const std::string& text) {
  return AllOf(Field(&ProjectMemory::Warning::key, key),
               Field(&ProjectMemory::Warning::about, about),
               Field(&ProjectMemory::Warning::text, text));
}

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
  memory.SetWarning("/kept", About::kLabelConfig, "no label");
  memory.SetWarning("/deleted", About::kLabelConfig, "no label");
  memory.SetWarning("/mended", About::kLabelConfig, "no label");
  memory.SetWarning("/mended", About::kLabelConfig, "");
  EXPECT_THAT(memory.warnings(), SizeIs(2));

  now += absl::Hours(20);
  memory.SetWarning("/kept", About::kLabelConfig, "no label");
  now += absl::Hours(4);

  EXPECT_THAT(memory.warnings(), ElementsAre(Of("/kept", About::kLabelConfig, "no label")));
}

TEST(ProjectMemoryTest, EachPartOfAProjectHasAWarningOfItsOwn) {
  ProjectMemory memory;
  EXPECT_TRUE(memory.SetWarning("/7", About::kLabelConfig, "no label"));
  EXPECT_TRUE(memory.SetWarning("/7", About::kExtraParams, "misspelt"));
  EXPECT_FALSE(memory.SetWarning("/7", About::kExtraParams, "misspelt")) << "it is said already";
  EXPECT_THAT(memory.warnings(), UnorderedElementsAre(Of("/7", About::kLabelConfig, "no label"),
                                                      Of("/7", About::kExtraParams, "misspelt")));

  EXPECT_TRUE(memory.SetWarning("/7", About::kLabelConfig, ""));
  EXPECT_FALSE(memory.HasWarning("/7", About::kLabelConfig));
  EXPECT_TRUE(memory.HasWarning("/7", About::kExtraParams));

  memory.SetWarning("/7", About::kLabelConfig, "no label");
  memory.Forget("/7");
  EXPECT_THAT(memory.warnings(), IsEmpty());
}

TEST(ProjectMemoryTest, OfVeryManyWarningsTheOldestGo) {
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  ProjectMemory memory([&now] { return now; });
  for (int i = 0; i < 1000; ++i) {
    memory.SetWarning("/" + std::to_string(i), About::kLabelConfig, "no label");
    now += absl::Seconds(1);
  }
  EXPECT_LE(memory.warnings().size(), 500u);
  EXPECT_FALSE(memory.HasWarning("/0", About::kLabelConfig));
  EXPECT_TRUE(memory.HasWarning("/999", About::kLabelConfig));
}

}  // namespace
}  // namespace prelabel
