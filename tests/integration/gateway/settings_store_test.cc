// Several gateways that remember /setup together in a real redis-server, which is killed and
// frozen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <future>
#include <thread>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/redis_server.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
constexpr char kKey[] = "duet:settings:/1";  // of the default profile's project 1

json::value SetupBody(double threshold, const json::object& more = {}) {
  json::object extra = more;
  extra["score_threshold"] = threshold;
  return {{"project", "1.1795395253"},
          {"schema", kRectangles},
          {"hostname", "http://studio"},
          {"access_token", "studio-token"},
          {"extra_params", extra}};
}

class SettingsStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<Harness> Start(const std::string& url,
                                 absl::Duration timeout = absl::Seconds(30)) {
    auto harness = std::make_unique<Harness>(HarnessOptions{.detector = services_.address(),
                                                            .segmenter = services_.address(),
                                                            .settings_store = url,
                                                            .settings_timeout = timeout});
    harness->AwaitModels();
    return harness;
  }
  // The threshold with which `gateway` asks the detector for a batch of the project.
  float ThresholdOf(Harness& gateway) {
    std::promise<float> threshold;
    services_.on_detect = [&](auto&, const auto& request, auto*) {
      threshold.set_value(request.score_threshold());
      return grpc::Status::OK;
    };
    const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, {image_}));
    services_.on_detect = nullptr;
    EXPECT_EQ(reply.status, 200) << reply.body;
    return threshold.get_future().get();
  }
  void AwaitRedis(Harness& gateway, bool up) {
    while (gateway.redis().up() != up) std::this_thread::yield();
  }
  void Put(Harness& gateway, const std::string& value) {
    std::promise<absl::Status> done;
    gateway.redis().Set(kKey, value, absl::Hours(1), [&](auto status) { done.set_value(status); });
    ASSERT_TRUE(done.get_future().get().ok());
  }

  duet_testing::RedisServer server_;
  FakeServices services_;
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(SettingsStoreTest, WhatSetupToldOneGatewayAnotherOneUses) {
  const auto a = Start(server_.url()), b = Start(server_.url());

  const Reply setup = a->Post("/setup", SetupBody(0.25));
  ASSERT_EQ(setup.status, 200) << setup.body;
  const Reply predicted = b->Post("/predict", PredictBody(kRectangles, {image_}));

  EXPECT_EQ(predicted.result(0).at("model_version"), setup.json().at("model_version"));
  EXPECT_FLOAT_EQ(ThresholdOf(*b), 0.25f);
}

TEST_F(SettingsStoreTest, TheLastSetupCountsWhicheverGatewayItReached) {
  const auto a = Start(server_.url()), b = Start(server_.url());
  a->Post("/setup", SetupBody(0.25));
  b->Post("/setup", SetupBody(0.5));
  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.5f);

  a->Post("/setup", SetupBody(0.75));

  EXPECT_FLOAT_EQ(ThresholdOf(*b), 0.75f);
}

TEST_F(SettingsStoreTest, WithoutAStoreEachRemembersItsOwn) {
  const auto a = Start(""), b = Start("");
  a->Post("/setup", SetupBody(0.25));

  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.25f);
  EXPECT_FLOAT_EQ(ThresholdOf(*b), 0.5f);
}

TEST_F(SettingsStoreTest, OnlyWhatDuetKnowsIsStoredAndNoToken) {
  const auto a = Start(server_.url());
  a->Post("/setup", SetupBody(0.25, {{"password", "hunter2"}, {"outputs", "rectangle"}}));

  const std::string stored = a->redis().GetAndWait(kKey).value();

  EXPECT_THAT(stored, HasSubstr("\"outputs\":\"rectangle\""));
  EXPECT_THAT(stored, Not(HasSubstr("hunter2")));
  EXPECT_THAT(stored, Not(HasSubstr("studio")));
}

TEST_F(SettingsStoreTest, WhatIsStoredIsForgottenAMonthAfterTheLastSetup) {
  const auto a = Start(server_.url());
  a->Post("/setup", SetupBody(0.25));

  EXPECT_LE(server_.TimeToLive(kKey), absl::Hours(24 * 30));
  EXPECT_GT(server_.TimeToLive(kKey), absl::Hours(24 * 30) - absl::Minutes(10));
}

TEST_F(SettingsStoreTest, KilledRedisLeavesEachWithWhatItHasSeen) {
  duet_testing::LogCapture log;
  const auto a = Start(server_.url()), b = Start(server_.url()), c = Start(server_.url());
  a->Post("/setup", SetupBody(0.25));
  ASSERT_FLOAT_EQ(ThresholdOf(*b), 0.25f);
  server_.Kill();
  for (Harness* gateway : {a.get(), b.get(), c.get()}) AwaitRedis(*gateway, false);

  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.25f);
  EXPECT_FLOAT_EQ(ThresholdOf(*b), 0.25f) << "it has seen them";
  EXPECT_FLOAT_EQ(ThresholdOf(*c), 0.5f);
  EXPECT_EQ(a->Post("/setup", SetupBody(0.75)).status, 200);
  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.75f);
  EXPECT_THAT(log.lines("redis.down"), SizeIs(3));
  EXPECT_EQ(a->metrics().Get(serving::kRedisCommands, {"SET", "refused"}).Value(), 1);

  // Back, and empty: /setup comes before the next batch.
  server_.Start();
  for (Harness* gateway : {a.get(), b.get(), c.get()}) AwaitRedis(*gateway, true);
  a->Post("/setup", SetupBody(0.75));
  EXPECT_FLOAT_EQ(ThresholdOf(*c), 0.75f);
}

TEST_F(SettingsStoreTest, ASetupThatCouldNotBeSharedOutlivesWhatWasSharedBefore) {
  const auto a = Start(server_.url());
  AwaitRedis(*a, true);
  server_.Kill();
  AwaitRedis(*a, false);
  a->Post("/setup", SetupBody(0.25));
  server_.Start();
  AwaitRedis(*a, true);
  Put(*a, R"({"score_threshold":0.75})");  // as if it had been there all the time

  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.25f);
  a->Post("/setup", SetupBody(0.5));
  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.5f);
  Put(*a, R"({"score_threshold":0.75})");
  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.75f);
}

TEST_F(SettingsStoreTest, FrozenRedisIsWaitedForOnce) {
  const auto a = Start(server_.url(), absl::Milliseconds(50));
  AwaitRedis(*a, true);
  server_.Freeze();

  EXPECT_EQ(a->Post("/setup", SetupBody(0.25)).status, 200);
  EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.25f);
  EXPECT_EQ(a->metrics().Get(serving::kRedisCommands, {"SET", "lost"}).Value(), 1);
  EXPECT_EQ(a->metrics().Get(serving::kRedisCommands, {"GET", "lost"}).Value(), 0);
  server_.Thaw();
}

TEST_F(SettingsStoreTest, WhatCannotBeUsedIsCountedAndTakenAsAbsent) {
  duet_testing::LogCapture log;
  const auto a = Start(server_.url());
  for (const char* value : {"", "rubbish", "[1]", R"({"score_threshold":7})"}) {
    Put(*a, value);
    EXPECT_FLOAT_EQ(ThresholdOf(*a), 0.5f) << value;
  }

  EXPECT_EQ(a->metrics().Get(serving::kRedisRefusedValues).Value(), 4);
  EXPECT_THAT(log.lines("redis.refused"), SizeIs(4));
}

// Label Studio before 1.5.
TEST_F(SettingsStoreTest, CopiedAndDeletedProjectsAreCopiedAndForgotten) {
  const auto a = Start(server_.url()), b = Start(server_.url());
  a->Post("/setup", SetupBody(0.25));

  EXPECT_EQ(b->Post("/duplicate_model", {{"project_src", "1"}, {"project_dst", "2"}}).status, 200);
  EXPECT_EQ(b->redis().GetAndWait("duet:settings:/2").value(), R"({"score_threshold":2.5E-1})");
  EXPECT_EQ(b->Post("/delete", {{"project", "1"}}).status, 200);
  EXPECT_TRUE(absl::IsNotFound(b->redis().GetAndWait(kKey).status()));
}

}  // namespace
}  // namespace gateway::testing
