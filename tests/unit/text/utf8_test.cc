#include "text/utf8.h"

#include <gtest/gtest.h>

namespace text {
namespace {

constexpr char kReplaced[] = "\xEF\xBF\xBD";

TEST(Utf8Test, OnlyWellFormedCharactersPass) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain text of more than eight bytes, é€😀"));
  for (const char* bad :
       {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "sixteen ascii by\xe9"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(Utf8Test, WhatIsNoCharacterIsReplacedByteByByte) {
  const std::string r = kReplaced;
  EXPECT_EQ(ToUtf8("häuser"), "häuser");
  EXPECT_EQ(ToUtf8("caf\xe9.jpg"), "caf" + r + ".jpg");
  EXPECT_EQ(ToUtf8("\xe2\x82"), r + r);
  EXPECT_EQ(ToUtf8(std::string("a\0\xff", 3)), std::string("a\0", 2) + r);
  EXPECT_TRUE(IsUtf8(ToUtf8("\xf0\x9f\x98 and on, and on \xed\xa0\x80")));
}

TEST(Utf8Test, APrefixEndsBetweenCharacters) {
  EXPECT_EQ(Utf8Prefix("abc", 5), "abc");
  EXPECT_EQ(Utf8Prefix("abc", 2), "ab");
  EXPECT_EQ(Utf8Prefix("aé", 2), "a");
  EXPECT_EQ(Utf8Prefix("a😀", 4), "a");
  EXPECT_EQ(Utf8Prefix("a😀b", 5), "a😀");
  EXPECT_EQ(Utf8Prefix("\x80\x80\x80\x80\x80\x80", 5).size(), 2u) << "no text at all";
  EXPECT_EQ(Utf8Prefix("é", 0), "");
}

}  // namespace
}  // namespace text
