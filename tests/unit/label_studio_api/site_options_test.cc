#include "label_studio_api/site_options.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace label_studio_api {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(SiteOptionsTest, TheSiteIsTrustedAndItsUrlsHaveOneForm) {
  const duet_testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const LabelStudioSite site,
                       ReadSite({.url = "HTTP://Studio:80/",
                                 .aliases = {"http://localhost:8080/"},
                                 .api_key_file = dir.Write("token", "secret\n")}));

  EXPECT_TRUE(site.trusted);
  EXPECT_EQ(site.url, "http://studio");
  EXPECT_THAT(site.aliases, ElementsAre("http://localhost:8080"));
  EXPECT_EQ(site.Token(), "secret");
  EXPECT_EQ(ReadSite({.url = "http://studio", .api_key = "key"})->Token(), "key");
  EXPECT_EQ(ReadSite({.url = "http://studio"})->Token(), "");
}

TEST(SiteOptionsTest, WhatCantBeUsedNamesItsFlagAndNoSecret) {
  const auto refuses = [](const SiteOptions& options, const char* flag) {
    EXPECT_THAT(ReadSite(options), StatusIs(absl::StatusCode::kInvalidArgument,
                                            AllOf(HasSubstr(flag), Not(HasSubstr("secret")))));
  };
  refuses({.url = ""}, "--label_studio_url");
  refuses({.url = "ftp://studio"}, "--label_studio_url");
  refuses({.url = "http://studio", .aliases = {"nonsense"}}, "--label_studio_alias");
  refuses({.url = "http://studio", .api_key_file = "/nowhere"}, "--label_studio_api_key_file");
  refuses({.url = "http://studio", .api_key = "secret", .api_key_file = "/nowhere"},
          "--label_studio_api_key_file are both given");
}

}  // namespace
}  // namespace label_studio_api
