// GET /openapi.json describes the routes that there are, all of them, and no others. (Its examples
// and schemas are held against the running processes by tests/e2e/test_openapi.py.)
#include <absl/strings/ascii.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;

class OpenApiTest : public ::testing::Test {
 protected:
  OpenApiTest()
      : gateway_({.detector = services_.address(), .segmenter = services_.address()}),
        document_(gateway_.Get("/openapi.json").json()) {}

  FakeServices services_;
  Harness gateway_;
  const json::value document_;
};

TEST_F(OpenApiTest, EveryRouteIsDescribedAndEveryDescriptionHasItsRoute) {
  std::set<std::string> routes;
  for (const http::Route& route : gateway_.router().routes()) {
    const auto method = boost::beast::http::to_string(route.method);
    routes.insert(absl::AsciiStrToLower(std::string(method.data(), method.size())) + " " +
                  route.pattern);
  }
  std::set<std::string> described;
  for (const auto& [path, methods] : document_.at("paths").as_object()) {
    for (const auto& [method, operation] : methods.as_object()) {
      described.insert(std::string(method) + " " + std::string(path));
    }
  }

  EXPECT_EQ(described, routes);
}

TEST_F(OpenApiTest, ItsVersionIsTheGateways) {
  EXPECT_EQ(document_.at("info").at("version"), gateway_.Get("/").json().at("version"));
}

}  // namespace
}  // namespace gateway::testing
