#include "http_client/url.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace http_client {
namespace {

using duet_testing::StatusIs;

// What python-requests 2.34 sends for these, but for the case of %e9.
TEST(UrlTest, WhatPeopleWriteUnescapedIsSentAsPythonRequestsSendsIt) {
  const struct {
    const char* written;
    const char* sent;
  } kCases[] = {
      {"http://h/a b.jpg", "http://h/a%20b.jpg"},
      {"http://h/häuser/é.jpg?q=ü", "http://h/h%C3%A4user/%C3%A9.jpg?q=%C3%BC"},
      {"http://h/a|b[1]{2}\"'.jpg", "http://h/a%7Cb%5B1%5D%7B2%7D%22'.jpg"},
      {"http://h/a?x=[1]|`^\\", "http://h/a?x=%5B1%5D%7C%60%5E%5C"},
      {"http://h/100%.jpg", "http://h/100%25.jpg"},
      {"http://h/a%20b%2Fc%e9.jpg", "http://h/a%20b%2Fc%e9.jpg"},
      {"http://h/a.jpg#top", "http://h/a.jpg"},
      {"http://h?x=1", "http://h/?x=1"},
      {"http://h:81", "http://h:81"},
      {"http://[::1]:81/a[1]", "http://[::1]:81/a%5B1%5D"},
      {"http://bücher.example:81/a", "http://xn--bcher-kva.example:81/a"},
  };
  for (const auto& test : kCases) {
    ASSERT_OK_AND_ASSIGN(const std::string sent, NormalizeUrl(test.written));
    EXPECT_EQ(sent, test.sent);
    EXPECT_EQ(NormalizeUrl(sent).value(), sent) << "a second time changes nothing";
  }
}

TEST(UrlTest, ASignedUrlIsLeftAlone) {
  const std::string url =
      "https://b.s3.eu-west-1.amazonaws.com/imgs/a%20b%2B1.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256"
      "&X-Amz-Credential=AK%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=0a1b"
      "&response-content-disposition=attachment%3B%20filename%3D%22a.jpg%22&se=2026-01-01T00:00:00Z"
      "&sig=a+b/c==~!*'()";
  EXPECT_EQ(NormalizeUrl(url).value(), url);
}

TEST(UrlTest, TheHostIsTheOneThatIsAsked) {
  ASSERT_OK_AND_ASSIGN(const UrlParts plain, ParseUrl("HTTPS://Host.Example/a"));
  EXPECT_EQ(plain.scheme, "https");
  EXPECT_EQ(plain.host, "host.example");
  EXPECT_EQ(plain.port, 443);
  EXPECT_EQ(ParseUrl("http://user:pw@h:81/@evil/")->host, "h");
  EXPECT_EQ(ParseUrl("http://[::1]:81/")->host, "::1");
  EXPECT_EQ(ParseUrl("http://0x7f.1/")->host, "127.0.0.1") << "as libcurl reads it";
  EXPECT_EQ(ParseUrl("http://2130706433/")->host, "127.0.0.1");
  for (const char* bad : {"", "h/a", "ftp://h/a", "http://", "http://a b/", "http://h:99999/",
                          "file:///etc/passwd"}) {
    EXPECT_THAT(ParseUrl(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(UrlTest, RedactedUrisHaveNoSecretsAndAnEnd) {
  EXPECT_EQ(RedactUri("http://us:p@w@host/a.jpg?sig=1#x"), "http://host/a.jpg");
  EXPECT_EQ(RedactUri("data:image/png;base64,AAAA"), "data:image/png");
  EXPECT_EQ(RedactUri("http://h/\n" + std::string(300, 'x')).size(), 203u);
  EXPECT_EQ(RedactUri("a\nb"), "a?b");
  EXPECT_EQ(RedactUri("http://h/caf\xe9"), "http://h/caf\xEF\xBF\xBD");
  EXPECT_EQ(RedactUri(std::string(199, 'x') + "é"), std::string(199, 'x') + "...");
}

TEST(UrlTest, RedactedUrisKeepWhichFileWasMeant) {
  EXPECT_EQ(RedactUri("/data/local-files/?d=in/a%20b.jpg"), "/data/local-files/?d=in/a%20b.jpg");
  EXPECT_EQ(RedactUri("http://u:p@h/ls/data/local-files/?token=x&d=a.jpg&sig=y#z"),
            "http://h/ls/data/local-files/?d=a.jpg");
  EXPECT_EQ(RedactUri("/data/local-files?d=a.jpg"), "/data/local-files?d=a.jpg");
  EXPECT_EQ(RedactUri("https://h/storage-data/uploaded/?filepath=upload/1/a.jpg&sig=x"),
            "https://h/storage-data/uploaded/?filepath=upload/1/a.jpg");
  EXPECT_EQ(RedactUri("https://h/view.php?X-Amz-Signature=s&file=a.jpg&id=7&key=k"),
            "https://h/view.php?file=a.jpg&id=7");
  EXPECT_EQ(RedactUri("https://h/a.jpg?d=a.jpg"), "https://h/a.jpg") << "not a name everywhere";
  EXPECT_EQ(RedactUri("https://h/a.jpg?ID=7&file"), "https://h/a.jpg");
  EXPECT_EQ(RedactUri("/data/local-files/?d=" + std::string(300, 'x')).size(), 203u);
}

}  // namespace
}  // namespace http_client
