#include "http_client/proxy.h"

#include <gmock/gmock.h>

#include <map>
#include <string>

#include "tests/testing/status_matchers.h"

namespace http_client {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<ProxyRules> Make(const std::string& setting, const Variables& variables = {}) {
  return ProxyRules::Make(setting, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  });
}

// "host:port" of the proxy, "" for none.
std::string For(const ProxyRules& rules, const std::string& scheme, const std::string& host,
                int port = 80) {
  const Proxy* const proxy = rules.For(scheme, host, port);
  return proxy == nullptr ? "" : proxy->host + ":" + std::to_string(proxy->port);
}

TEST(ProxyTest, NoProxyIsTakenBecauseAVariableIsSet) {
  ASSERT_OK_AND_ASSIGN(const ProxyRules rules, Make("", {{"http_proxy", "http://proxy:3128"}}));
  EXPECT_EQ(For(rules, "http", "pictures.test"), "");
}

TEST(ProxyTest, TheEnvironmentIsReadAsCurlReadsItIfAskedFor) {
  ASSERT_OK_AND_ASSIGN(const ProxyRules both,
                       Make("environment", {{"http_proxy", "http://one:3128"},
                                            {"HTTP_PROXY", "http://cgi:1"},
                                            {"HTTPS_PROXY", "two:8080"}}));
  EXPECT_EQ(For(both, "http", "pictures.test"), "one:3128");
  EXPECT_EQ(For(both, "https", "pictures.test"), "two:8080");
  ASSERT_OK_AND_ASSIGN(const ProxyRules upper,
                       Make("environment", {{"HTTP_PROXY", "http://cgi:1"}}));
  EXPECT_EQ(For(upper, "http", "pictures.test"), "") << "a request's header under CGI";
  ASSERT_OK_AND_ASSIGN(const ProxyRules all, Make("environment", {{"all_proxy", "https://three"}}));
  EXPECT_EQ(For(all, "http", "pictures.test"), "three:443");
}

TEST(ProxyTest, WhatNoProxyNamesIsAskedDirectly) {
  ASSERT_OK_AND_ASSIGN(
      const ProxyRules rules,
      Make("http://proxy:3128", {{"no_proxy",
                                  "Example.org, .inner.test *.star.test,studio:8080,10.0.0.0/8,"
                                  "192.168.1.5,fd00::/8,[2001:db8::1]"}}));
  for (const char* direct : {"example.org", "www.example.org", "inner.test", "a.inner.test",
                             "b.star.test", "10.200.0.1", "192.168.1.5", "fd12::1", "2001:db8::1",
                             "localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
    EXPECT_EQ(For(rules, "http", direct), "") << direct;
  }
  for (const char* proxied :
       {"notexample.org", "example.org.evil", "11.0.0.1", "192.168.1.6", "2001:db8::2", "studio"}) {
    EXPECT_EQ(For(rules, "https", proxied), "proxy:3128") << proxied;
  }
  EXPECT_EQ(For(rules, "http", "studio", 8080), "");
  ASSERT_OK_AND_ASSIGN(const ProxyRules none, Make("http://proxy:3128", {{"NO_PROXY", "*"}}));
  EXPECT_EQ(For(none, "http", "pictures.test"), "");
}

TEST(ProxyTest, WhatIsNoProxyIsRefusedWithoutItsPassword) {
  EXPECT_THAT(
      Make("socks5://user:secret@proxy:1080"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("--image_proxy: 'socks5://proxy:1080'"), Not(HasSubstr("secret")))));
  EXPECT_THAT(Make("environment", {{"https_proxy", "http://:80"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("https_proxy")));
}

}  // namespace
}  // namespace http_client
