#include "serving/redis/redis_url.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(RedisUrlTest, AHostAloneHasDefaults) {
  ASSERT_OK_AND_ASSIGN(const RedisUrl url, ParseRedisUrl("redis://duet-redis"));

  EXPECT_EQ(url.host, "duet-redis");
  EXPECT_EQ(url.port, 6379);
  EXPECT_EQ(url.user + url.password, "");
  EXPECT_EQ(url.database, 0);
  EXPECT_EQ(url.Address(), "duet-redis:6379");
}

TEST(RedisUrlTest, ReadsEveryPartAndDecodesThem) {
  ASSERT_OK_AND_ASSIGN(const RedisUrl url, ParseRedisUrl("redis://duet:p%40ss@[::1]:6380/3"));

  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, 6380);
  EXPECT_EQ(url.user, "duet");
  EXPECT_EQ(url.password, "p@ss");
  EXPECT_EQ(url.database, 3);
  EXPECT_THAT(url.Address(), AllOf(HasSubstr("[::1]:6380"), Not(HasSubstr("p@ss"))));
}

TEST(RedisUrlTest, APasswordNeedsNoUserAndASlashNoDatabase) {
  ASSERT_OK_AND_ASSIGN(const RedisUrl url, ParseRedisUrl("redis://:secret@redis:6379/"));

  EXPECT_EQ(url.user, "");
  EXPECT_EQ(url.password, "secret");
}

TEST(RedisUrlTest, WhatCannotBeUsedIsSaidWithoutThePassword) {
  for (const auto& [url, why] : {
           std::pair{"redis:6379", "the host is missing"},
           std::pair{"http://redis", "the scheme is http"},
           std::pair{"rediss://redis", "TLS"},
           std::pair{"redis://", "host"},
           std::pair{"redis://:secret@redis:port", "the port"},
           std::pair{"redis://:secret@redis:70000", "the port"},
           std::pair{"redis://secret@redis", "no password"},
           std::pair{"redis://:secret@redis/one", "'one'"},
           std::pair{"redis://:secret@redis/-1", "'-1'"},
           std::pair{"redis://:secret@redis?db=1", "query"},
           std::pair{"redis://:sec ret@redis", "percent-encoding"},
           std::pair{"redis://:secret@10.0.0.5x", "the address 10.0.0.5 with more behind it"},
           std::pair{"redis://:secret@10.0.0.5.example.org:6379/0", "with more behind it"},
       }) {
    EXPECT_THAT(ParseRedisUrl(url),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(why), HasSubstr("needed: redis://"),
                               Not(HasSubstr("secret")), Not(HasSubstr("sec ret")))))
        << url;
  }
}

}  // namespace
}  // namespace serving
