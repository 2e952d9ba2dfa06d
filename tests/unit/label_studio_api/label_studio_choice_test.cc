#include "label_studio_api/label_studio_choice.h"

#include <gmock/gmock.h>

namespace label_studio_api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const OperatorSite kNobody;
const OperatorSite kOperator = {.url = "http://inner:8080",
                                .aliases = {"https://labels.example.org"},
                                .token = std::make_shared<serving::Secret>("operators")};

LabelStudioSite Choose(const OperatorSite& by_operator, const std::string& hostname,
                       const std::string& token = "setups") {
  std::string why_not;
  return ChooseSite(by_operator, ReadSetupSite(by_operator, hostname, token, &why_not));
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
    const SetupSite site = ReadSetupSite(kNobody, hostname, "setups", &why_not);
    EXPECT_EQ(site.url, "") << hostname.substr(0, 50);
    EXPECT_EQ(site.token, nullptr);
    EXPECT_THAT(why_not, HasSubstr("needed: http(s)://"));
    EXPECT_LT(why_not.size(), 500u);
  }
}

TEST(LabelStudioChoiceTest, AHugeTokenIsNotKept) {
  std::string why_not;
  const SetupSite site =
      ReadSetupSite(kNobody, "http://studio", std::string(1 << 20, 'x'), &why_not);
  EXPECT_EQ(site.url, "http://studio");
  EXPECT_EQ(site.token, nullptr);
  EXPECT_THAT(why_not, HasSubstr("access_token has 1048576 characters"));
}

}  // namespace
}  // namespace label_studio_api
