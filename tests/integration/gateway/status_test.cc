// What operators and probes ask, profiles, basic auth and webhooks, over real sockets.
#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/integration/gateway/gateway_test.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

class StatusTest : public GatewayTest {
 protected:
  // A request is counted after its answer, so what it counts may be late.
  static std::string MetricsWith(Harness& gateway, const std::string& line) {
    std::string text;
    while (text.find(line) == std::string::npos) text = gateway.Get("/metrics").body;
    return text;
  }
};

TEST_F(StatusTest, TheRootTellsModelsAndUptime) {
  const json::value root = Start().Get("/").json();

  EXPECT_EQ(root.at("detector").at("name"), "rtmdet-t");
  EXPECT_EQ(root.at("segmenter").at("version"), "s1");
  EXPECT_EQ(root.at("status"), "UP");
  EXPECT_GE(root.at("uptime_s").as_int64(), 0);
}

TEST_F(StatusTest, HealthIsJsonAsLabelStudioWants) {
  EXPECT_EQ(Start().Get("/health").json().at("status"), "UP");
}

TEST_F(StatusTest, ReadinessFollowsTheProcess) {
  Harness& gateway = Start();
  EXPECT_EQ(gateway.Get("/readyz").status, 503);

  gateway.app().ready = true;

  EXPECT_EQ(gateway.Get("/readyz").status, 200);
}

TEST_F(StatusTest, MetricsCountByPattern) {
  Harness& gateway = Start();
  gateway.Get("/some/prefix/health");
  gateway.Get("/nowhere");

  MetricsWith(gateway, R"(duet_gateway_requests_total{code="200",route="/health"} 1)");
  MetricsWith(gateway, R"(duet_gateway_requests_total{code="404",route="none"} 1)");
}

TEST_F(StatusTest, ConnectionsAreCountedWhileTheyAreOpen) {
  Harness& gateway = Start();

  // The one that asks; those before it may still be closing.
  while (gateway.Get("/metrics").body.find("\nduet_gateway_connections 1\n") == std::string::npos) {
    std::this_thread::yield();
  }
}

TEST_F(StatusTest, ImagesAreCountedByWhereTheyCameFrom) {
  Harness& gateway = Start();
  constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";

  // Loopback is refused, which is not remembered: both are misses.
  for (int i = 0; i < 2; ++i) {
    gateway.Post("/predict", PredictBody(kConfig, {"http://127.0.0.1:1/a.jpg"}));
  }

  const std::string text = gateway.Get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("duet_gateway_images_total{result=\"miss\"} 2"));
  EXPECT_THAT(text, HasSubstr("duet_gateway_images_total{result=\"hit\"} 0"));
  EXPECT_THAT(text, HasSubstr("duet_gateway_image_cache_bytes 0"));
}

TEST_F(StatusTest, WhatACallerWritesNeverBecomesALabel) {
  Harness& gateway = Start();

  for (const char* path : {"/x", "/y/z", "/p/a/b", "/%41", "/health/x"}) gateway.Get(path);
  gateway.Send("BREW", "/health");
  gateway.Post("/webhook", {{"action", "SOMETHING_NEW"}});

  const std::string text =
      MetricsWith(gateway, R"(duet_gateway_requests_total{code="404",route="none"} 5)");
  EXPECT_THAT(text, HasSubstr(R"(duet_gateway_webhooks_total{action="other"} 1)"));
  for (const char* theirs : {"BREW", "SOMETHING", "%41", "/y"}) {
    EXPECT_THAT(text, Not(HasSubstr(theirs)));
  }
}

TEST_F(StatusTest, TheLabelConfigHasTheModelsClasses) {
  const Reply reply = Start().Get("/label-config");

  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.Header("Content-Type"), HasSubstr("xml"));
  EXPECT_THAT(reply.body, HasSubstr(R"(value="dog")"));
  EXPECT_THAT(reply.body, HasSubstr("<KeyPoint "));
}

TEST_F(StatusTest, TheLabelConfigOfADetectorAloneHasNoSmartTools) {
  Harness gateway({.detector = services_.address()});
  gateway.AwaitModels();

  const Reply reply = gateway.Get("/label-config");

  EXPECT_THAT(reply.body, HasSubstr(R"(<Rectangle name="rectangle" toName="image" smart="false")"));
  EXPECT_THAT(reply.body, Not(HasSubstr("<KeyPoint ")));
  EXPECT_EQ(gateway.Post("/setup", {{"project", "1.5"}, {"schema", reply.body}}).status, 200);
}

TEST_F(StatusTest, AProfileHasItsOwnVersionAndAnUnknownOneIsNamed) {
  Harness& gateway = Start({.profiles = R"({"street": {"score_threshold": 0.3}})"});

  const json::value fallback = gateway.Get("/versions").json();
  const json::value street = gateway.Get("/p/street/versions").json();
  const Reply unknown = gateway.Get("/p/forest/health");

  EXPECT_NE(fallback.at("versions").at(0), street.at("versions").at(0));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json().at("error"), R"(There is no profile "forest"; there are: street.)");
}

TEST_F(StatusTest, BasicAuthGuardsAllButProbesMetricsAndWebhooks) {
  Harness& gateway =
      Start({.gateway = {.basic_auth_user = "ann",
                         .basic_auth_password = std::make_shared<serving::Secret>("s3cret:x")}});
  const auto with = [&](const std::string& credentials) {
    return gateway
        .Send("GET", "/health", "", {{"Authorization", "Basic " + absl::Base64Escape(credentials)}})
        .status;
  };

  const Reply refused = gateway.Get("/health");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.Header("WWW-Authenticate"), HasSubstr("Basic"));
  EXPECT_EQ(with("ann:s3cret:x"), 200);
  EXPECT_EQ(with("ann:s3cret"), 401);
  EXPECT_EQ(with("bob:s3cret:x"), 401);
  EXPECT_EQ(gateway.Send("GET", "/health", "", {{"Authorization", "Basic !"}}).status, 401);
  EXPECT_EQ(gateway.Get("/livez").status, 200);
  EXPECT_EQ(gateway.Get("/metrics").status, 200);
  EXPECT_EQ(gateway.Post("/webhook", {{"action", "ANNOTATION_CREATED"}}).status, 200);
  EXPECT_EQ(gateway.Post("/predict", json::object()).status, 401);
}

TEST_F(StatusTest, UnknownWebhooksAreWelcome) {
  Harness& gateway = Start();

  EXPECT_EQ(gateway.Post("/webhook", {{"action", "ANNOTATIONS_DELETED"}}).json().at("status"),
            "ok");
  EXPECT_EQ(gateway.Post("/webhook", {{"action", "LABEL_LINK_CREATED"}}).json().at("status"),
            "Unknown event");
  EXPECT_EQ(gateway.Send("POST", "/webhook", "no json").status, 400);
}

}  // namespace
}  // namespace gateway::testing
