#include "text/authority.h"

#include <gtest/gtest.h>

namespace text {
namespace {

TEST(AuthorityTest, AHostAndAPort) {
  const auto named = ParseAuthority("host.example:8080");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->host, "host.example");
  EXPECT_EQ(named->port, "8080");
  EXPECT_FALSE(named->is_address);
  EXPECT_FALSE(named->has_userinfo);

  const auto nothing = ParseAuthority("");
  ASSERT_TRUE(nothing);
  EXPECT_EQ(nothing->host, "");
  EXPECT_EQ(ParseAuthority("h:")->port, "");
}

TEST(AuthorityTest, AddressesAreToldFromNames) {
  for (const char* address : {"127.0.0.1", "10.0.0.5:80", "[::1]", "[::ffff:10.1.2.3]:443"}) {
    ASSERT_TRUE(ParseAuthority(address)) << address;
    EXPECT_TRUE(ParseAuthority(address)->is_address) << address;
  }
  for (const char* name : {"10.0.0.5.example.org", "10.0.5", "0x7f.1", "2130706433", "127.0.0.01",
                           "256.0.0.1", "1.2.3.4."}) {
    ASSERT_TRUE(ParseAuthority(name)) << name;
    EXPECT_FALSE(ParseAuthority(name)->is_address) << name;
  }
  EXPECT_EQ(ParseAuthority("[::1]:81")->host, "[::1]");
}

TEST(AuthorityTest, UserinfoEndsAtTheLastAt) {
  const auto authority = ParseAuthority("user:pw@evil@h:81");
  ASSERT_TRUE(authority);
  EXPECT_TRUE(authority->has_userinfo);
  EXPECT_EQ(authority->host, "h");
  EXPECT_EQ(authority->port, "81");
}

TEST(AuthorityTest, WhatIsNoAuthorityIsRefused) {
  for (const char* bad : {"h:8o", "h:-1", "h:1:2", "::1", "[::1", "[::1]x:80", "[::1]x",
                          "[fe80::1%eth0]", "[1.2.3.4]", "[]", "a b", "h/x", "häuser", "h\""}) {
    EXPECT_FALSE(ParseAuthority(bad)) << bad;
  }
}

TEST(AuthorityTest, HostAndPortAreJoinedWithBracketsWhereTheyAreNeeded) {
  EXPECT_EQ(JoinHostPort("127.0.0.1", 80), "127.0.0.1:80");
  EXPECT_EQ(JoinHostPort("host", 0), "host:0");
  EXPECT_EQ(JoinHostPort("::1", 80), "[::1]:80");
  EXPECT_EQ(JoinHostPort("[::1]", 80), "[::1]:80");
}

}  // namespace
}  // namespace text
