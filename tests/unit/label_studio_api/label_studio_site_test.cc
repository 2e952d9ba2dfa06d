#include "label_studio_api/label_studio_site.h"

#include <gmock/gmock.h>

#include "image_fetch/sources.h"
#include "tests/testing/status_matchers.h"

namespace label_studio_api {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

LabelStudioSite Operators(const std::string& url, std::vector<std::string> aliases = {}) {
  return {.url = url,
          .aliases = std::move(aliases),
          .token = std::make_shared<serving::Secret>("key"),
          .trusted = true};
}

TEST(SiteUrlTest, OneFormOfEachSpelling) {
  for (const char* text : {"http://studio", "http://studio/", "HTTP://Studio:80//",
                           "http://STUDIO:", " http://studio "}) {
    ASSERT_OK_AND_ASSIGN(const std::string url, ParseSiteUrl(text));
    EXPECT_EQ(url, "http://studio") << text;
  }
  EXPECT_EQ(*ParseSiteUrl("https://studio:443/Label-Studio/"), "https://studio/Label-Studio");
  EXPECT_EQ(*ParseSiteUrl("https://studio:80"), "https://studio:80");
  EXPECT_EQ(*ParseSiteUrl("http://[::1]:8080"), "http://[::1]:8080");
}

TEST(SiteUrlTest, WhatIsNoneIsRefusedWithoutSecrets) {
  const std::string huge = "http://" + std::string(2000, 'a');
  for (const std::string& bad :
       {std::string(""), std::string("studio:8080"), std::string("ftp://studio"),
        std::string("file:///etc/passwd"), std::string("http://"), std::string("http://:80"),
        std::string("http://ann:s3cret@studio"), std::string("http://studio?x=s3cret"),
        std::string("http://studio/#x"), std::string("http://studio:99999"),
        std::string("http://studio:0"), std::string("http://studio/a/../b"),
        std::string("http://stu dio"), std::string("http://studio\r\nX: y"), huge}) {
    EXPECT_THAT(ParseSiteUrl(bad),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("needed: http(s)://HOST"), Not(HasSubstr("s3cret")))))
        << bad.substr(0, 100);
  }
}

TEST(PermitTest, TheTokenGoesToLabelStudiosOwnImagePathsAlone) {
  const LabelStudioSite site = Operators("http://studio:8080");
  for (const char* path : {"/data/upload/1/a.jpg", "/data/local-files/?d=../a.jpg",
                           "/storage-data/uploaded/?filepath=x", "/static/samples/sample.jpg",
                           "/tasks/25/resolve/?fileuri=eA==", "/tasks/25/presign/",
                           "/projects/1/resolve?x", "/data/a%20b.jpg"}) {
    EXPECT_TRUE(PermitFor(site, site.url + path).token) << path;
  }
  for (const char* path :
       {"", "/", "/api/users/", "/api/projects/1/export?exportType=JSON", "/user/logout", "/data",
        "/database/x", "/tasks//resolve/", "/tasks/x/resolve/", "/tasks/1/resolve/more",
        "/tasks/1/delete", "/data/../api/users", "/data/%2e%2e/api/users", "/data/..%2fapi/users",
        "/data/./x", "/data/%5c..%5capi", "/data/.."}) {
    const Permit permit = PermitFor(site, site.url + path);
    EXPECT_FALSE(permit.token) << path;
    EXPECT_TRUE(permit.trusted) << path;
  }
}

TEST(PermitTest, AnotherSpellingIsTheSameSiteOrNone) {
  const LabelStudioSite site = Operators("http://studio");
  for (const char* same :
       {"http://STUDIO/data/x", "http://studio:80/data/x", "HTTP://studio:/data/x"}) {
    EXPECT_TRUE(PermitFor(site, same).token) << same;
  }
  for (const char* other :
       {"https://studio/data/x", "http://studio:8080/data/x", "http://studio./data/x",
        "http://studio.evil.org/data/x", "http://ann@studio/data/x", "http://ann:pw@studio/data/x",
        "http://studio@evil.org/data/x", "http://evil.org/http://studio/data/x",
        "http://studio\\@evil.org/data/x", "//studio/data/x", "http://[::1]/data/x", ""}) {
    const Permit permit = PermitFor(site, other);
    EXPECT_FALSE(permit.trusted || permit.token || permit.on_site) << other;
  }
  EXPECT_FALSE(PermitFor(Operators("http://[::1]"), "http://[0:0::1]/data/x").trusted);
  EXPECT_FALSE(PermitFor({}, "http://studio/data/x").on_site);
}

TEST(PermitTest, ANameThatBeginsWithAnAddressIsNotThatAddress) {
  const LabelStudioSite site = Operators("http://10.0.0.5");
  for (const char* other :
       {"http://10.0.0.5.evil.example/data/x", "http://10.0.0.5evil.example/data/x",
        "http://10.0.0.5-evil.example/data/x", "http://10.0.0.5.:80/data/x"}) {
    EXPECT_FALSE(PermitFor(site, other).on_site) << other;
    EXPECT_EQ(PathOnSite(site, other), std::nullopt) << other;
    const image_fetch::ImageSources sources = image_fetch::MakeImageSources({});
    ASSERT_OK_AND_ASSIGN(const image_fetch::ImageLocation location,
                         image_fetch::Locate(sources, {.uri = other, .label_studio = site}));
    EXPECT_EQ(location.source->name(), "http") << other;
  }
  EXPECT_EQ(*ParseSiteUrl("http://10.0.0.5.nip.io:8080/ls"), "http://10.0.0.5.nip.io:8080/ls");
  EXPECT_TRUE(
      PermitFor(Operators("http://10.0.0.5.nip.io:8080"), "http://10.0.0.5.nip.io:8080/data/x")
          .token);
}

TEST(PermitTest, BelowAPathTheTokenStaysThere) {
  const LabelStudioSite site = Operators("http://intranet/ls");
  EXPECT_TRUE(PermitFor(site, "http://intranet/ls/data/x").token);
  for (const char* other : {"http://intranet/data/x", "http://intranet/ls2/data/x",
                            "http://intranet/ls/../wiki/data/x", "http://intranet/wiki/data/x"}) {
    EXPECT_FALSE(PermitFor(site, other).token) << other;
  }
}

TEST(PermitTest, WhatTheOperatorDidNotNameIsNotTrusted) {
  LabelStudioSite site = Operators("http://studio");
  site.trusted = false;
  EXPECT_TRUE(PermitFor(site, "http://studio/data/x").token);
  EXPECT_FALSE(PermitFor(site, "http://studio/data/x").trusted);
}

TEST(PathOnSiteTest, AnAliasIsForLabelStudiosOwnPaths) {
  const LabelStudioSite site = Operators("http://127.0.0.1:8080", {"http://localhost:8080"});
  EXPECT_EQ(PathOnSite(site, "http://localhost:8080/data/local-files/?d=a.jpg"),
            "/data/local-files/?d=a.jpg");
  EXPECT_EQ(PathOnSite(site, "http://LOCALHOST:8080/tasks/1/resolve/?fileuri=x"),
            "/tasks/1/resolve/?fileuri=x");
  EXPECT_EQ(PathOnSite(site, "http://localhost:8080/pictures/a.jpg"), std::nullopt);
  EXPECT_EQ(PathOnSite(site, "http://localhost/data/x"), std::nullopt);
  EXPECT_EQ(PathOnSite(site, "http://127.0.0.1:8080/pictures/a.jpg"), "/pictures/a.jpg");
  EXPECT_EQ(PathOnSite({.aliases = {"http://localhost"}}, "http://localhost/data/x"), std::nullopt);
}

std::string LocationOf(const std::string& uri, const LabelStudioSite& site) {
  const image_fetch::ImageSources sources = image_fetch::MakeImageSources({});
  const auto location = image_fetch::Locate(sources, {.uri = uri, .label_studio = site});
  return location.ok() ? location->address : location.status().ToString();
}

// LABEL_STUDIO_HOST=http://public/label-studio behind a proxy that takes the path off.
TEST(PathOnSiteTest, ThePathOfAnAliasIsTakenOff) {
  const LabelStudioSite site = Operators("http://10.0.0.7:8080", {"http://public/label-studio"});
  for (const char* uri : {"/label-studio/data/upload/1/a.jpg", "/data/upload/1/a.jpg",
                          "http://public/label-studio/data/upload/1/a.jpg",
                          "http://10.0.0.7:8080/data/upload/1/a.jpg"}) {
    EXPECT_EQ(LocationOf(uri, site), "http://10.0.0.7:8080/data/upload/1/a.jpg") << uri;
  }
  EXPECT_EQ(LocationOf("/label-studio2/data/x", site), "http://10.0.0.7:8080/label-studio2/data/x");
  EXPECT_EQ(LocationOf("http://public/data/upload/1/a.jpg", site),
            "http://public/data/upload/1/a.jpg")
      << "somebody else's on the same host";
}

TEST(PathOnSiteTest, BothAddressesMayHaveAPath) {
  const LabelStudioSite site = Operators("http://inner/ls", {"https://public/label-studio"});
  for (const char* uri : {"/label-studio/data/x", "/ls/data/x", "/data/x", "http://inner/ls/data/x",
                          "https://public/label-studio/data/x"}) {
    EXPECT_EQ(LocationOf(uri, site), "http://inner/ls/data/x") << uri;
  }
}

}  // namespace
}  // namespace label_studio_api
