#include "image_fetch/sources.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/testing/status_matchers.h"

namespace image_fetch {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The source's name and what it understood.
struct Located {
  std::string source;
  std::string address;
};

absl::StatusOr<Located> LocateUri(const std::string& uri,
                                  const label_studio_api::LabelStudioSite& site,
                                  bool has_local_files_root = false) {
  ImageFetcher::Options options;
  if (has_local_files_root) options.local_files_root = "/images";
  const ImageSources sources = MakeImageSources(options);
  auto location = Locate(sources, {.uri = uri, .label_studio = site});
  if (!location.ok()) return location.status();
  return Located{std::string(location->source->name()), std::move(location->address)};
}

Located Find(const std::string& uri,
             const label_studio_api::LabelStudioSite& site = {.url = "http://studio:8080"},
             bool has_local_files_root = false) {
  const absl::StatusOr<Located> located = LocateUri(uri, site, has_local_files_root);
  EXPECT_TRUE(located.ok()) << located.status();
  return located.ok() ? *located : Located{};
}

TEST(SourcesTest, RelativePathsAreOnLabelStudio) {
  const Located upload = Find("/data/upload/1/a b.jpg");
  EXPECT_EQ(upload.source, "label_studio");
  EXPECT_EQ(upload.address, "http://studio:8080/data/upload/1/a%20b.jpg");
  EXPECT_EQ(Find("/ls/data/upload/1/a.jpg", {.url = "http://studio/ls"}).address,
            "http://studio/ls/data/upload/1/a.jpg");
  EXPECT_EQ(Find("/data/upload/1/a.jpg", {.url = "http://studio/ls"}).address,
            "http://studio/ls/data/upload/1/a.jpg");
  EXPECT_THAT(LocateUri("/data/upload/1/a.jpg", {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--label_studio_url")));
}

TEST(SourcesTest, LabelStudiosOwnAndAliasUrlsAreToldFromOthers) {
  const label_studio_api::LabelStudioSite site = {.url = "http://studio:8080",
                                                  .aliases = {"http://localhost:9000"}};
  EXPECT_EQ(Find("http://STUDIO:8080/data/upload/1/a.jpg", site).source, "label_studio");
  EXPECT_EQ(Find("http://localhost:9000/data/upload/1/a.jpg", site).address,
            "http://studio:8080/data/upload/1/a.jpg");
  EXPECT_EQ(Find("http://studio:8081/a.jpg", site).source, "http");
  EXPECT_EQ(Find("http://studio.evil.org:8080/a.jpg", site).source, "http");
  EXPECT_EQ(Find("https://studio:8080/a.jpg", site).source, "http");
  const Located local = Find("http://localhost:9000/data/local-files/?x=1&d=a%2Fb+c.jpg", site,
                             /*has_local_files_root=*/true);
  EXPECT_EQ(local.source, "local_file");
  EXPECT_EQ(local.address, "a/b c.jpg");
}

TEST(SourcesTest, AUserNameInAUrlIsRefusedAlsoWhereALocalFileIsMeant) {
  EXPECT_THAT(LocateUri("http://us:pw@studio:8080/data/local-files/?d=x",
                        {.url = "http://studio:8080"}, /*has_local_files_root=*/true),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("user name or password"), Not(HasSubstr("us:pw")))));
}

TEST(SourcesTest, OtherSchemes) {
  EXPECT_EQ(Find("s3://bucket/imgs/a b.jpg").address, "s3://bucket/imgs/a b.jpg");
  EXPECT_EQ(Find("azure-blob://c/a.jpg").source, "presigned");
  EXPECT_EQ(Find("data:image/png;base64,AAAA").source, "data_uri");
  for (const char* bad : {"", "file:///etc/passwd", "cat.jpg", "ftp://host/a", "http://",
                          "http://us:pw@host/a", "http://good\\@evil/", "//host/a"}) {
    EXPECT_THAT(LocateUri(bad, {.url = "http://studio"}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

TEST(SourcesTest, S3IsAskedDirectlyWithKeysOfOurOwn) {
  ImageFetcher::Options options;
  options.s3.access_key_id = "AKIA";
  const ImageSources sources = MakeImageSources(options);

  ASSERT_OK_AND_ASSIGN(const ImageLocation s3, Locate(sources, {.uri = "S3://bucket/a.jpg"}));
  ASSERT_OK_AND_ASSIGN(const ImageLocation gs, Locate(sources, {.uri = "gs://bucket/a.jpg"}));

  EXPECT_EQ(s3.source->name(), "s3");
  EXPECT_EQ(gs.source->name(), "presigned");
}

TEST(SourcesTest, WhatTheAnswerDependsOnIsInTheKey) {
  const ImageSources sources = MakeImageSources({});
  const auto key = [&](const std::string& uri, const std::string& site, std::int64_t task) {
    auto location = Locate(sources, {.uri = uri, .task_id = task, .label_studio = {.url = site}});
    EXPECT_TRUE(location.ok()) << location.status();
    return location->cache_key;
  };
  const std::string a = "http://a";
  const std::string b = "http://b";

  EXPECT_EQ(key("http://c/x.jpg", a, 1), key("http://c/x.jpg", b, 2));
  EXPECT_EQ(key("/data/x.jpg", a, 1), key("http://a/data/x.jpg", a, 2));
  EXPECT_NE(key("/data/x.jpg", a, 1), key("/data/x.jpg", b, 1));
  EXPECT_NE(key("s3://c/x.jpg", a, 1), key("s3://c/x.jpg", a, 2));
  EXPECT_EQ(key("data:image/png;base64,AAAA", a, 1), "");
}

TEST(SourcesTest, TheTokenAndTheTrustAreInTheKeyOfWhatLabelStudioDecides) {
  const ImageSources sources = MakeImageSources({});
  const auto key = [&](const std::string& uri, const char* token, bool trusted) {
    label_studio_api::LabelStudioSite site = {.url = "http://a", .trusted = trusted};
    if (token != nullptr) site.token = std::make_shared<const serving::Secret>(token);
    auto location = Locate(sources, {.uri = uri, .task_id = 1, .label_studio = site});
    EXPECT_TRUE(location.ok()) << location.status();
    return location->cache_key;
  };

  for (const char* uri : {"/data/x.jpg", "http://a/data/x.jpg", "s3://c/x.jpg"}) {
    EXPECT_EQ(key(uri, "ann's", false), key(uri, "ann's", false)) << uri;
    EXPECT_NE(key(uri, "ann's", false), key(uri, "bob's", false)) << uri;
    EXPECT_NE(key(uri, "ann's", false), key(uri, nullptr, false)) << uri;
    EXPECT_NE(key(uri, "ann's", false), key(uri, "ann's", true)) << uri;
  }
  EXPECT_EQ(key("http://c/x.jpg", "ann's", false), key("http://c/x.jpg", "bob's", true));
}

TEST(SourcesTest, LanesAreWhatIsAskedAndFilesFailuresAreNotRemembered) {
  ImageFetcher::Options options;
  options.local_files_root = "/images";
  const ImageSources sources = MakeImageSources(options);
  options.s3.access_key_id = "AKIA";
  const ImageSources with_keys = MakeImageSources(options);
  struct Case {
    const ImageSources& sources;
    const char* uri;
    const char* source;
    const char* lane;
    bool failures_last;
  };
  const Case cases[] = {
      {sources, "/data/upload/1/a.jpg", "label_studio", "http://studio:8080", true},
      {sources, "https://Other/a.jpg", "http", "https://other:443", true},
      {sources, "s3://bucket/a.jpg", "presigned", "http://studio:8080", true},
      {with_keys, "s3://bucket/a.jpg", "s3", "s3", true},
      {sources, "/data/local-files/?d=a.jpg", "local_file", "file", false},
      {sources, "data:image/png;base64,AAAA", "data_uri", "data", false},
  };
  for (const Case& one : cases) {
    auto location = Locate(
        one.sources, {.uri = one.uri, .task_id = 1, .label_studio = {.url = "http://studio:8080"}});
    ASSERT_TRUE(location.ok()) << location.status();
    EXPECT_EQ(location->source->name(), one.source) << one.uri;
    EXPECT_EQ(location->lane, one.lane) << one.uri;
    EXPECT_EQ(location->failures_last, one.failures_last) << one.uri;
  }
}

TEST(SourcesTest, CharactersThatBrowsersAcceptAreEscapedOnTheWay) {
  EXPECT_EQ(Find("http://bücher.example/a [1]|ü%20%.jpg?x={1}").address,
            "http://xn--bcher-kva.example/a%20%5B1%5D%7C%C3%BC%20%25.jpg?x=%7B1%7D");
  EXPECT_EQ(Find("/data/upload/1/a[1] 50%.jpg").address,
            "http://studio:8080/data/upload/1/a%5B1%5D%2050%25.jpg");
}

}  // namespace
}  // namespace image_fetch
