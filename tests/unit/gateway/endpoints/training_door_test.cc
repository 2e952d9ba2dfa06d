#include "gateway/endpoints/training_door.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "gateway/endpoints/route_policy.h"
#include "tests/testing/log_capture.h"

namespace gateway::endpoints {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

int StatusOf(const TrainingDoor& door, const char* peer, const http::Request& request = {}) {
  http::Context context;
  context.peer = boost::asio::ip::make_address(peer);
  const auto refusal = door.Refuse(request, context);
  return refusal ? refusal->status : 200;
}

std::string NameOf(const TrainingDoor& door, const char* peer) {
  http::Context context;
  context.peer = boost::asio::ip::make_address(peer);
  return door.NameOf(context);
}

http::Request With(const char* field, const std::string& value) {
  http::Request request;
  request.headers.set(field, value);
  return request;
}

TEST(TrainingDoorTest, WithoutAPasswordItIsThisMachinesAndLabelStudios) {
  boost::asio::io_context io;
  const TrainingDoor door(io.get_executor(), "http://10.1.2.3:8080/label-studio", nullptr);

  for (const char* own : {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(StatusOf(door, own), 200) << own;
    EXPECT_EQ(NameOf(door, own), "loopback");
  }
  for (const char* studio : {"10.1.2.3", "::ffff:10.1.2.3"}) {
    EXPECT_EQ(StatusOf(door, studio), 200) << studio;
    EXPECT_EQ(NameOf(door, studio), "Label Studio at 10.1.2.3");
  }
  for (const char* other : {"10.1.2.4", "192.168.0.1", "8.8.8.8", "::ffff:10.1.2.4", "fe80::1"}) {
    EXPECT_EQ(StatusOf(door, other), 403) << other;
  }
  http::Context context;
  context.peer = boost::asio::ip::make_address("10.1.2.4");
  EXPECT_THAT(door.Refuse({}, context)->error,
              AllOf(HasSubstr("10.1.2.4"), HasSubstr("--basic_auth_user")));
}

TEST(TrainingDoorTest, ANameIsLookedUp) {
  boost::asio::io_context io;
  TrainingDoor door(io.get_executor(), "http://localhost:8080", nullptr);
  EXPECT_EQ(NameOf(door, "127.0.0.1"), "loopback");
  door.Begin();
  while (NameOf(door, "127.0.0.1") == "loopback") io.run_one();
  EXPECT_EQ(NameOf(door, "127.0.0.1"), "loopback, where Label Studio is, too");
  EXPECT_EQ(StatusOf(door, "10.1.2.3"), 403);
  door.Stop();
  io.run();  // ends
}

TEST(TrainingDoorTest, WhatWasForwardedIsNobodys) {
  boost::asio::io_context io;
  const TrainingDoor door(io.get_executor(), "http://10.1.2.3:8080", nullptr);
  for (const char* field :
       {"Forwarded", "X-Forwarded-For", "x-forwarded-for", "X-Forwarded-Host", "X-Forwarded-Proto",
        "X-Real-IP", "Via", "X-Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP",
        "X-Envoy-External-Address", "X-Request-Start", "X-Original-Forwarded-For"}) {
    EXPECT_EQ(StatusOf(door, "127.0.0.1", With(field, "")), 403) << field;
    EXPECT_EQ(StatusOf(door, "10.1.2.3", With(field, "10.1.2.3")), 403) << field;
  }
}

// A page at a name that leads to this machine (DNS rebinding) speaks from this machine's address.
TEST(TrainingDoorTest, WhatABrowserSendsIsNobodys) {
  duet_testing::LogCapture log;
  boost::asio::io_context io;
  const TrainingDoor door(io.get_executor(), "http://10.1.2.3:8080", nullptr);
  EXPECT_EQ(StatusOf(door, "127.0.0.1", With("Origin", "http://evil.example:8003")), 403);
  EXPECT_EQ(StatusOf(door, "10.1.2.3", With("Sec-Fetch-Site", "same-origin")), 403);
  ASSERT_EQ(log.lines("audit.refused").size(), 2U);
  EXPECT_THAT(log.lines("audit.refused")[1],
              AllOf(HasSubstr("10.1.2.3"), HasSubstr("Sec-Fetch-Site"), HasSubstr("403")));
}

TEST(TrainingDoorTest, BeforeLabelStudiosAddressIsKnownItIsTooEarlyToRefuse) {
  boost::asio::io_context io;
  const TrainingDoor door(io.get_executor(), "http://localhost:8080", nullptr);
  EXPECT_EQ(StatusOf(door, "10.1.2.3"), 503);
  EXPECT_EQ(StatusOf(door, "127.0.0.1"), 200);
}

TEST(TrainingDoorTest, WithAPasswordNothingElseCounts) {
  boost::asio::io_context io;
  const auto auth = std::make_shared<BasicAuth>("ann", std::make_shared<serving::Secret>("secret"));
  const TrainingDoor door(io.get_executor(), "http://10.1.2.3:8080", auth);

  EXPECT_EQ(StatusOf(door, "127.0.0.1"), 401);
  EXPECT_EQ(StatusOf(door, "10.1.2.3"), 401);
  http::Request request = With("Authorization", "Basic " + absl::Base64Escape("ann:secret"));
  request.headers.set("X-Forwarded-For", "8.8.8.8");
  EXPECT_EQ(StatusOf(door, "8.8.8.8", request), 200);
  EXPECT_EQ(StatusOf(door, "127.0.0.1", With("Authorization", "Basic eA==")), 401);
}

// What begins or ends a training asks the door, and what tells Label Studio of one.
TEST(TrainingDoorTest, ItsRoutesAreInTheTable) {
  std::vector<std::string> trains;
  for (const RoutePolicy& policy : RoutePolicies()) {
    if (!policy.trains) continue;
    EXPECT_TRUE(policy.changes_state && policy.needs_credentials) << policy.pattern;
    trains.emplace_back(policy.pattern);
  }
  EXPECT_THAT(trains, ::testing::UnorderedElementsAre("/train", "/train/{project}/cancel",
                                                      "/train/{project}/forget", "/job_status"));
}

}  // namespace
}  // namespace gateway::endpoints
