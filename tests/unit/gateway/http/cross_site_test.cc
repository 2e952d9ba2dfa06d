#include "gateway/http/cross_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gateway::http {
namespace {

using testing::HasSubstr;
using testing::Optional;

Request With(const std::vector<std::pair<std::string, std::string>>& headers) {
  Request request;
  for (const auto& [name, value] : headers) request.headers.set(name, value);
  return request;
}

// Whether a request with this Origin, addressed to `host`, is refused.
bool Refuses(const std::string& origin, const std::string& host, const OwnNames& own) {
  return CrossSiteFault(With({{"Host", host}, {"Origin", origin}}), own).has_value();
}

const OwnNames kLoopback = OwnNamesOf({}, "127.0.0.1");

TEST(CrossSiteTest, ProgramsMayAddressTheServerByAnyName) {
  for (const char* host : {"127.0.0.1:8003", "gateway:8003", "duet.prod.svc.cluster.local:8003",
                           "host.docker.internal:8003", "label_studio", ""}) {
    EXPECT_EQ(CrossSiteFault(With({{"Host", host}}), kLoopback), std::nullopt) << host;
  }
}

TEST(CrossSiteTest, APageOfTheServersOwnMaySendRequests) {
  EXPECT_FALSE(Refuses("http://localhost:8003", "localhost:8003", kLoopback));
  EXPECT_FALSE(Refuses("http://127.0.0.1:8003", "127.0.0.1:8003", kLoopback));
  EXPECT_FALSE(Refuses("http://[::1]:8003", "[::1]:8003", kLoopback));
  EXPECT_FALSE(Refuses("http://10.0.0.7", "10.0.0.7:80", kLoopback));
  EXPECT_FALSE(Refuses("http://10.0.0.7.nip.io", "10.0.0.7.nip.io", OwnNamesOf({}, "0.0.0.0")));
  EXPECT_FALSE(Refuses("https://LocalHost", "localhost:443", kLoopback));
  EXPECT_FALSE(Refuses("http://duet.localhost:8003", "duet.localhost:8003", kLoopback));
}

TEST(CrossSiteTest, APageElsewhereMayNot) {
  for (const OwnNames& own : {kLoopback, OwnNamesOf({}, "0.0.0.0"), OwnNamesOf({"x"}, "::1")}) {
    EXPECT_TRUE(Refuses("http://evil.example", "127.0.0.1:8003", own));
    EXPECT_TRUE(Refuses("http://localhost:3000", "localhost:8003", own)) << "another port";
    EXPECT_TRUE(Refuses("http://localhost", "localhost:8003", own));
    EXPECT_TRUE(Refuses("http://127.0.0.1:8003", "localhost:8003", own));
    EXPECT_TRUE(Refuses("null", "localhost:8003", own));
    EXPECT_TRUE(Refuses("", "localhost:8003", own));
    EXPECT_TRUE(Refuses("http://", "", own));
    EXPECT_TRUE(Refuses("file://localhost:8003", "localhost:8003", own));
    EXPECT_TRUE(Refuses("http://localhost:8003@evil.example", "localhost:8003", own));
    EXPECT_TRUE(Refuses("http://localhost:8003/path", "localhost:8003", own));
    EXPECT_TRUE(Refuses("http://localhost:8003 http://evil.example", "localhost:8003", own));
  }
}

TEST(CrossSiteTest, ANameThatWasMadeToResolveToThisMachineIsNotItsOwn) {
  EXPECT_TRUE(Refuses("http://evil.example:8003", "evil.example:8003", kLoopback));
  EXPECT_TRUE(Refuses("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", kLoopback));
  EXPECT_TRUE(Refuses("http://localhost.evil.example", "localhost.evil.example", kLoopback));
  EXPECT_THAT(CrossSiteFault(With({{"Host", "evil.example"}, {"Origin", "http://evil.example"}}),
                             kLoopback),
              Optional(HasSubstr("\"evil.example\"")));
  const OwnNames named = OwnNamesOf({"Duet.example:8003"}, "0.0.0.0");
  EXPECT_FALSE(Refuses("http://duet.example:8003", "duet.example:8003", named));
  EXPECT_TRUE(Refuses("http://evil.example", "evil.example", named));
  EXPECT_FALSE(Refuses("http://duet.example", "duet.example", OwnNamesOf({}, "0.0.0.0")))
      << "a server that is reached from elsewhere doesn't know its names";
}

TEST(CrossSiteTest, WhatTheBrowserSaysOfTheSiteCounts) {
  const auto refuses = [](const std::string& site) {
    return CrossSiteFault(With({{"Host", "localhost"}, {"Sec-Fetch-Site", site}}), kLoopback)
        .has_value();
  };
  EXPECT_TRUE(refuses("cross-site"));
  EXPECT_TRUE(refuses("same-site"));
  EXPECT_TRUE(refuses("anything new"));
  EXPECT_FALSE(refuses("same-origin"));
  EXPECT_FALSE(refuses("none")) << "typed into the address bar";
}

}  // namespace
}  // namespace gateway::http
