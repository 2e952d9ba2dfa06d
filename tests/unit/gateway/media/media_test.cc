#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "gateway/media/address_policy.h"
#include "gateway/media/image_cache.h"
#include "gateway/media/image_source.h"
#include "gateway/media/label_studio_tokens.h"
#include "tests/testing/status_matchers.h"

namespace gateway::media {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

namespace ip = boost::asio::ip;

ImageSource Classify(const std::string& uri,
                     const LabelStudioSite& site = {.url = "http://studio:8080"},
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
  const LabelStudioSite site = {.url = "http://studio:8080", .aliases = {"http://localhost:9000"}};
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

TEST(ImageSourceTest, RedactedUrisHaveNoSecretsAndAnEnd) {
  EXPECT_EQ(RedactUri("http://us:p@w@host/a.jpg?sig=1#x"), "http://host/a.jpg");
  EXPECT_EQ(RedactUri("data:image/png;base64,AAAA"), "data:image/png");
  EXPECT_EQ(RedactUri("http://h/\n" + std::string(300, 'x')).size(), 203u);
  EXPECT_EQ(RedactUri("a\nb"), "a?b");
  EXPECT_EQ(RedactUri("http://h/caf\xe9"), "http://h/caf\xEF\xBF\xBD");
  EXPECT_EQ(RedactUri(std::string(199, 'x') + "é"), std::string(199, 'x') + "...");
}

TEST(AddressPolicyTest, OnlyGloballyReachableAddressesArePublic) {
  for (const char* text : {"8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"}) {
    EXPECT_TRUE(IsPublicAddress(ip::make_address(text))) << text;
  }
  for (const char* text : {"127.0.0.1",      "10.1.2.3",        "172.16.0.1",  "172.31.255.255",
                           "192.168.1.1",    "169.254.169.254", "100.64.0.1",  "0.0.0.0",
                           "224.0.0.1",      "255.255.255.255", "::",          "::1",
                           "fe80::1",        "fd00::1",         "ff02::1",     "::ffff:10.0.0.1",
                           "64:ff9b::a00:1", "2002:7f00:1::",   "2001:db8::1", "fec0::1",
                           "::127.0.0.1"}) {
    EXPECT_FALSE(IsPublicAddress(ip::make_address(text))) << text;
  }
}

TEST(AddressPolicyTest, HostsPortsAndNetworksAreAllowed) {
  ASSERT_OK_AND_ASSIGN(
      const AddressPolicy policy,
      AddressPolicy::Make({"MinIO:9000", "store", "10.1.0.0/16", "fd00::/8"}, false));
  const ip::address private_address = ip::make_address("192.168.0.7");
  EXPECT_TRUE(policy.Allows("minio", 9000, private_address));
  EXPECT_FALSE(policy.Allows("minio", 9001, private_address));
  EXPECT_TRUE(policy.Allows("Store", 1, private_address));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("10.1.200.3")));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("::ffff:10.1.200.3")));
  EXPECT_FALSE(policy.Allows("x", 80, ip::make_address("10.2.0.1")));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("fd12::1")));
  EXPECT_THAT(AddressPolicy::Make({"a b"}, false), StatusIs(absl::StatusCode::kInvalidArgument));
}

std::shared_ptr<const FetchedImage> ImageOf(std::size_t bytes) {
  auto image = std::make_shared<FetchedImage>();
  image->bytes.assign(bytes, 'x');
  return image;
}

TEST(ImageCacheTest, TheLeastRecentlyUsedGoesFirst) {
  const absl::Time now = absl::FromUnixSeconds(0);
  ImageCache cache(/*budget_bytes=*/3000, absl::Seconds(60), absl::Minutes(10));
  cache.Insert("a", ImageOf(1000), {}, now);
  cache.Insert("b", ImageOf(1000), {}, now);
  ASSERT_TRUE(cache.Find("a", now).has_value());  // a use: "b" is now the oldest

  cache.Insert("c", ImageOf(1000), {}, now);

  EXPECT_TRUE(cache.Find("a", now).has_value());
  EXPECT_FALSE(cache.Find("b", now).has_value());
  EXPECT_TRUE(cache.Find("c", now).has_value());
  cache.Insert("huge", ImageOf(5000), {}, now);
  EXPECT_FALSE(cache.Find("huge", now).has_value());
  EXPECT_LE(cache.bytes(), 3000);
}

TEST(ImageCacheTest, ImagesGoStaleAndFailuresAreForgotten) {
  const absl::Time now = absl::FromUnixSeconds(0);
  ImageCache cache(3000, absl::Seconds(60), absl::Minutes(10));
  cache.Insert("a", ImageOf(10), {}, now);
  cache.InsertFailure("b", absl::NotFoundError("gone"), now);

  EXPECT_TRUE(cache.Find("a", now + absl::Seconds(59))->fresh);
  EXPECT_FALSE(cache.Find("a", now + absl::Seconds(60))->fresh);
  cache.Refresh("a", now + absl::Seconds(60));
  EXPECT_TRUE(cache.Find("a", now + absl::Seconds(119))->fresh);
  EXPECT_TRUE(cache.FindFailure("b", now + absl::Seconds(599)).has_value());
  EXPECT_FALSE(cache.FindFailure("b", now + absl::Seconds(600)).has_value());

  cache.InsertFailure("a", absl::NotFoundError("gone"), now);
  EXPECT_FALSE(cache.Find("a", now).has_value()) << "what is gone is not served from before";
}

TEST(TokenTest, KindsAreToldApart) {
  EXPECT_EQ(ClassifyToken(""), TokenKind::kNone);
  EXPECT_EQ(ClassifyToken("0123456789abcdef0123456789abcdef01234567"), TokenKind::kLegacy);
  EXPECT_EQ(ClassifyToken("not.a.jwt"), TokenKind::kLegacy);
  // {"token_type":"refresh"} and {"token_type":"access"}
  EXPECT_EQ(ClassifyToken("eyJh.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln"), TokenKind::kPersonal);
  EXPECT_EQ(ClassifyToken("eyJh.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2ln"), TokenKind::kAccess);
}

}  // namespace
}  // namespace gateway::media
