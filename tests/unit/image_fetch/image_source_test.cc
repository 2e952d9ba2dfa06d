#include "image_fetch/image_source.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace image_fetch {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

ImageSource Classify(const std::string& uri,
                     const label_studio_api::LabelStudioSite& site = {.url = "http://studio:8080"},
                     bool has_local_files_root = false) {
  const absl::StatusOr<ImageSource> source = ClassifyUri(uri, site, has_local_files_root);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? *source : ImageSource{};
}

TEST(ImageSourceTest, RelativePathsAreOnLabelStudio) {
  const ImageSource upload = Classify("/data/upload/1/a b.jpg");
  EXPECT_EQ(upload.kind, SourceKind::kLabelStudio);
  EXPECT_EQ(upload.location, "http://studio:8080/data/upload/1/a%20b.jpg");
  EXPECT_EQ(Classify("/ls/data/upload/1/a.jpg", {.url = "http://studio/ls"}).location,
            "http://studio/ls/data/upload/1/a.jpg");
  EXPECT_EQ(Classify("/data/upload/1/a.jpg", {.url = "http://studio/ls"}).location,
            "http://studio/ls/data/upload/1/a.jpg");
  EXPECT_THAT(ClassifyUri("/data/upload/1/a.jpg", {}, false),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--label_studio_url")));
}

TEST(ImageSourceTest, LabelStudiosOwnAndAliasUrlsAreToldFromOthers) {
  const label_studio_api::LabelStudioSite site = {.url = "http://studio:8080",
                                                  .aliases = {"http://localhost:9000"}};
  EXPECT_EQ(Classify("http://STUDIO:8080/data/upload/1/a.jpg", site).kind,
            SourceKind::kLabelStudio);
  EXPECT_EQ(Classify("http://localhost:9000/data/upload/1/a.jpg", site).location,
            "http://studio:8080/data/upload/1/a.jpg");
  EXPECT_EQ(Classify("http://studio:8081/a.jpg", site).kind, SourceKind::kHttp);
  EXPECT_EQ(Classify("http://studio.evil.org:8080/a.jpg", site).kind, SourceKind::kHttp);
  EXPECT_EQ(Classify("https://studio:8080/a.jpg", site).kind, SourceKind::kHttp);
  const ImageSource local = Classify("http://localhost:9000/data/local-files/?x=1&d=a%2Fb+c.jpg",
                                     site, /*has_local_files_root=*/true);
  EXPECT_EQ(local.kind, SourceKind::kLocalFile);
  EXPECT_EQ(local.location, "a/b c.jpg");
}

TEST(ImageSourceTest, OtherSchemes) {
  EXPECT_EQ(Classify("s3://bucket/imgs/a b.jpg").location, "s3://bucket/imgs/a b.jpg");
  EXPECT_EQ(Classify("azure-blob://c/a.jpg").kind, SourceKind::kObjectStore);
  EXPECT_EQ(Classify("data:image/png;base64,AAAA").kind, SourceKind::kData);
  for (const char* bad : {"", "file:///etc/passwd", "cat.jpg", "ftp://host/a", "http://",
                          "http://us:pw@host/a", "http://good\\@evil/", "//host/a"}) {
    EXPECT_THAT(ClassifyUri(bad, {.url = "http://studio"}, false),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

TEST(ImageSourceTest, CharactersThatBrowsersAcceptAreEscapedOnTheWay) {
  EXPECT_EQ(Classify("http://bücher.example/a [1]|ü%20%.jpg?x={1}").location,
            "http://xn--bcher-kva.example/a%20%5B1%5D%7C%C3%BC%20%25.jpg?x=%7B1%7D");
  EXPECT_EQ(Classify("/data/upload/1/a[1] 50%.jpg").location,
            "http://studio:8080/data/upload/1/a%5B1%5D%2050%25.jpg");
}

}  // namespace
}  // namespace image_fetch
