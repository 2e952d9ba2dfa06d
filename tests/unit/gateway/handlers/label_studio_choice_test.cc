#include "gateway/handlers/label_studio_choice.h"

#include <gmock/gmock.h>

#include "gateway/handlers/project.h"

namespace gateway::handlers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const OperatorSite kNobody;
const OperatorSite kOperator = {.url = "http://inner:8080",
                                .aliases = {"https://labels.example.org"},
                                .token = std::make_shared<serving::Secret>("operators")};

media::LabelStudioSite Choose(const OperatorSite& by_operator, const std::string& hostname,
                              const std::string& token = "setups") {
  std::string why_not;
  return ChooseSite(by_operator, Learn(by_operator, hostname, token, &why_not));
}

TEST(LabelStudioChoiceTest, TheOperatorsAddressIsUsedWithTheOperatorsTokenAndTrusted) {
  const auto site = Choose(kOperator, "");
  EXPECT_EQ(site.url, "http://inner:8080");
  EXPECT_EQ(site.Token(), "operators");
  EXPECT_TRUE(site.trusted);
  EXPECT_THAT(site.aliases, ElementsAre("https://labels.example.org"));
}

TEST(LabelStudioChoiceTest, WhatSetupSaysBesidesIsAnotherNameAndNoMore) {
  const auto site = Choose(kOperator, "http://169.254.169.254/");
  EXPECT_EQ(site.url, "http://inner:8080");
  EXPECT_EQ(site.Token(), "operators");
  EXPECT_THAT(site.aliases, ElementsAre("https://labels.example.org", "http://169.254.169.254"));
}

TEST(LabelStudioChoiceTest, WhatOnlySetupSaysIsNotTrustedAndGetsItsOwnToken) {
  const auto site = Choose(kNobody, "http://studio:8080");
  EXPECT_EQ(site.url, "http://studio:8080");
  EXPECT_EQ(site.Token(), "setups");
  EXPECT_FALSE(site.trusted);
  EXPECT_THAT(site.aliases, IsEmpty());
}

TEST(LabelStudioChoiceTest, WithoutAnyAddressThereIsNoSite) {
  const auto site = Choose(kNobody, "");
  EXPECT_EQ(site.url, "");
  EXPECT_EQ(site.Token(), "");
  EXPECT_FALSE(site.trusted);
}

TEST(LabelStudioChoiceTest, AHostnameThatIsNoneIsLeftOutWithItsToken) {
  for (const std::string& hostname :
       {std::string("studio:8080"), std::string("file:///etc"), std::string("gopher://x"),
        std::string("http://ann:pw@studio"), "http://" + std::string(1 << 20, 'x')}) {
    std::string why_not;
    const TaughtSite taught = Learn(kNobody, hostname, "setups", &why_not);
    EXPECT_EQ(taught.url, "") << hostname.substr(0, 50);
    EXPECT_EQ(taught.token, nullptr);
    EXPECT_THAT(why_not, HasSubstr("needed: http(s)://"));
    EXPECT_LT(why_not.size(), 500u);
  }
}

TEST(LabelStudioChoiceTest, AHugeTokenIsNotKept) {
  std::string why_not;
  const TaughtSite taught = Learn(kNobody, "http://studio", std::string(1 << 20, 'x'), &why_not);
  EXPECT_EQ(taught.url, "http://studio");
  EXPECT_EQ(taught.token, nullptr);
  EXPECT_THAT(why_not, HasSubstr("access_token has 1048576 characters"));
}

ProjectMemory::SetUp WithThreshold(double threshold) {
  ProjectMemory::SetUp set_up;
  set_up.settings.score_threshold = threshold;
  return set_up;
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
  ProjectMemory::SetUp large;
  large.settings.label_map["a"] = std::string(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) memory.Remember("/" + std::to_string(i), large);

  EXPECT_FALSE(memory.Find("/30").has_value());
  EXPECT_TRUE(memory.Find("/99").has_value());
}

}  // namespace
}  // namespace gateway::handlers
