#include "text/url.h"

#include <gtest/gtest.h>

#include <string>

namespace text {
namespace {

TEST(UrlTest, SplitsAnHttpUrlIntoPartsOfItsText) {
  const auto url = SplitHttpUrl("HTTPS://user@Host:81/a%20b?x=1#top");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->https);
  EXPECT_EQ(url->authority.host, "Host");
  EXPECT_EQ(url->authority.port, "81");
  EXPECT_TRUE(url->authority.has_userinfo);
  EXPECT_EQ(url->target, "/a%20b?x=1");

  EXPECT_FALSE(SplitHttpUrl("http://h")->https);
  EXPECT_EQ(SplitHttpUrl("http://h")->target, "");
  EXPECT_EQ(SplitHttpUrl("http://h?x")->target, "?x");
}

TEST(UrlTest, WhatIsNoHttpUrlOrNotEscapedIsNotSplit) {
  for (const char* bad : {"", "h/a", "http", "http:/h", "ftp://h/a", "http://", "http:///a",
                          "http://h/a b", "http://h/100%", "http://a b/", "http://h:x/"}) {
    EXPECT_FALSE(SplitHttpUrl(bad)) << bad;
  }
}

TEST(UrlTest, APathIsEscapedOnce) {
  EXPECT_EQ(EscapePath("/data/a b.jpg?x=[1]"), "/data/a%20b.jpg?x=%5B1%5D");
  EXPECT_EQ(EscapePath("/data/a%20b.jpg?x=%5b1%5D"), "/data/a%20b.jpg?x=%5b1%5D");
  EXPECT_EQ(EscapePath("/100%"), "/100%25");
  EXPECT_EQ(EscapePath("/%2"), "/%252");
  EXPECT_EQ(EscapePath("/é"), "/%C3%A9");
  EXPECT_EQ(EscapePath("/\x7f\n"), "/%7F%0A");
}

TEST(UrlTest, EscapesAreDecodedAndOthersStay) {
  EXPECT_EQ(PercentDecode("a%20b%2Fc%c3%a9", /*plus_is_space=*/false), "a b/c\xc3\xa9");
  EXPECT_EQ(PercentDecode("100%, %2, %zz, %", /*plus_is_space=*/false), "100%, %2, %zz, %");
  EXPECT_EQ(PercentDecode("a+b", /*plus_is_space=*/false), "a+b");
  EXPECT_EQ(PercentDecode("a+b%2B", /*plus_is_space=*/true), "a b+");
}

TEST(UrlTest, EncodesAllButTheUnreservedAndWhatIsToBeKept) {
  EXPECT_EQ(PercentEncode("aZ09-._~", ""), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a/b +é", "/"), "a/b%20%2B%C3%A9");
  EXPECT_EQ(PercentEncode("a/b", ""), "a%2Fb");
}

TEST(UrlTest, TrailingSlashesGo) {
  EXPECT_EQ(WithoutTrailingSlashes("http://h/a//"), "http://h/a");
  EXPECT_EQ(WithoutTrailingSlashes("/a"), "/a");
  EXPECT_EQ(WithoutTrailingSlashes("//"), "");
  EXPECT_EQ(WithoutTrailingSlashes(""), "");
}

}  // namespace
}  // namespace text
