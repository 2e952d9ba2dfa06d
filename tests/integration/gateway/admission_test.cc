// What a request must be for its route to see it, over real sockets: every row of route_policy.h
// and every route.
#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <barrier>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "gateway/endpoints/route_policy.h"
#include "serving/secret.h"
#include "tests/integration/gateway/gateway_test.h"

namespace gateway::testing {
namespace {

using boost::beast::http::verb;
using gateway::endpoints::RoutePolicies;
using gateway::endpoints::RoutePolicy;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";

std::string Name(const RoutePolicy& policy) {
  return std::string(boost::beast::http::to_string(policy.method)) + " " +
         std::string(policy.pattern);
}

class AdmissionTest : public GatewayTest {
 protected:
  Reply Send(const RoutePolicy& policy, const std::string& body, const Headers& headers) {
    return harness_->Send(std::string(boost::beast::http::to_string(policy.method)),
                          std::string(policy.pattern), body, headers);
  }

  // The status line of the answer to a header whose body never comes.
  std::string AnswerToHeader(const std::string& header) {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), harness_->port()});
    boost::asio::write(socket, boost::asio::buffer(header + "\r\nHost: localhost\r\n\r\n"));
    std::string answer;
    boost::system::error_code ignored;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(answer), "\r\n", ignored);
    return answer;
  }
};

TEST_F(AdmissionTest, EveryRouteHasOneRow) {
  const http::Router& router = Start().router();

  EXPECT_EQ(router.routes().size(), RoutePolicies().size());
  for (const http::Route& route : router.routes()) {
    const RoutePolicy* const policy = gateway::endpoints::PolicyOf(route.method, route.pattern);
    ASSERT_NE(policy, nullptr) << route.pattern;
    EXPECT_EQ(route.body.max_bytes, policy->max_body_bytes) << Name(*policy);
    EXPECT_NE(route.body.from_anybody, policy->needs_credentials) << Name(*policy);
    // A review only reads, but the models work for it.
    EXPECT_EQ(policy->changes_state, route.method != verb::get || policy->tells_annotations)
        << Name(*policy);
    EXPECT_EQ(policy->takes_json, route.method == verb::post) << Name(*policy);
  }
}

TEST_F(AdmissionTest, NoChangeComesFromAWebPageElsewhere) {
  Start();
  const Headers json = {{"Content-Type", "application/json"}};
  for (const RoutePolicy& policy : RoutePolicies()) {
    const std::string body = policy.takes_json ? "{}" : "";
    for (const Headers& mark :
         {Headers{{"Origin", "http://evil.example"}}, Headers{{"Origin", "null"}},
          Headers{{"Sec-Fetch-Site", "cross-site"}}, Headers{{"Sec-Fetch-Site", "same-site"}},
          Headers{{"Host", "evil.example"}, {"Origin", "http://evil.example"}}}) {
      Headers headers = json;
      headers.insert(headers.end(), mark.begin(), mark.end());
      const Reply reply = Send(policy, body, headers);
      // What is only read is refused if the page's name leads here.
      if (policy.changes_state || (policy.for_operator && mark.front().first == "Host")) {
        EXPECT_EQ(reply.status, 403) << Name(policy) << ": " << reply.body;
      } else {
        EXPECT_NE(reply.status, 403) << Name(policy) << ": reading is the browser's to refuse";
      }
      EXPECT_THAT(reply.Header("Access-Control-Allow-Origin"), IsEmpty()) << Name(policy);
    }
    const Reply own_page = Send(policy, body,
                                {{"Host", "localhost:8003"},
                                 {"Origin", "http://localhost:8003"},
                                 {"Sec-Fetch-Site", "same-origin"},
                                 json.front()});
    // To the training door no browser's request is anybody's while there is no password.
    EXPECT_EQ(own_page.status == 403, policy.tells_annotations || policy.embeds) << Name(policy);
    const Reply program = Send(policy, body, {{"Host", "any-service-name:8003"}, json.front()});
    EXPECT_EQ(program.status == 403, policy.for_operator || policy.tells_annotations)
        << Name(policy);
  }
}

TEST_F(AdmissionTest, ABrowserThatAsksIsPromisedNothing) {
  Harness& gateway = Start();

  const Reply reply = gateway.Send("OPTIONS", "/setup", "",
                                   {{"Origin", "http://evil.example"},
                                    {"Access-Control-Request-Method", "POST"},
                                    {"Access-Control-Request-Headers", "content-type"}});

  EXPECT_EQ(reply.status, 405);
  for (const auto& [name, value] : reply.headers) {
    EXPECT_THAT(name, Not(StartsWith("Access-Control-"))) << value;
  }
}

TEST_F(AdmissionTest, WhatTakesJsonTakesNothingElse) {
  Start();
  for (const RoutePolicy& policy : RoutePolicies()) {
    if (!policy.takes_json) continue;
    for (const char* type :
         {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
          "text/plain;application/json", "application/jsonp"}) {
      const Reply reply = Send(policy, "{}", {{"Content-Type", type}});
      EXPECT_EQ(reply.status, 415) << Name(policy) << " " << type;
      EXPECT_THAT(reply.body, HasSubstr("application/json"));
    }
    for (const char* type : {"application/json", "Application/JSON; charset=utf-8"}) {
      EXPECT_NE(Send(policy, "{}", {{"Content-Type", type}}).status, 415) << Name(policy);
    }
    EXPECT_THAT(AnswerToHeader("POST " + std::string(policy.pattern) +
                               " HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"),
                Not(StartsWith("HTTP/1.1 415")))
        << "programs that name no type mean JSON";
    EXPECT_THAT(AnswerToHeader("POST " + std::string(policy.pattern) +
                               " HTTP/1.1\r\nOrigin: http://evil.example\r\nContent-Length: 2"),
                StartsWith("HTTP/1.1 403"))
        << "a page elsewhere can leave the type out, too";
  }
}

TEST_F(AdmissionTest, CredentialsAreAskedForBeforeTheBody) {
  Start({.gateway = {.basic_auth_user = "ann",
                     .basic_auth_password = std::make_shared<serving::Secret>("secret")}});
  for (const RoutePolicy& policy : RoutePolicies()) {
    const Reply without = Send(policy, policy.takes_json ? "{}" : "", {});
    EXPECT_EQ(without.status == 401, policy.needs_credentials) << Name(policy);
    const Reply with = Send(policy, policy.takes_json ? "{}" : "",
                            {{"Authorization", "Basic " + absl::Base64Escape("ann:secret")}});
    EXPECT_NE(with.status, 401) << Name(policy);
    if (policy.takes_json && policy.needs_credentials) {
      EXPECT_THAT(AnswerToHeader("POST " + std::string(policy.pattern) +
                                 " HTTP/1.1\r\nContent-Type: application/json\r\n"
                                 "Expect: 100-continue\r\nContent-Length: 60000"),
                  StartsWith("HTTP/1.1 401"));
    }
  }
}

TEST_F(AdmissionTest, CredentialsAreAskedForBeforeTheContentType) {
  Start({.gateway = {.basic_auth_user = "ann",
                     .basic_auth_password = std::make_shared<serving::Secret>("secret")}});
  const Headers without = {{"Content-Type", "text/plain"}};
  const Headers with = {{"Content-Type", "text/plain"},
                        {"Authorization", "Basic " + absl::Base64Escape("ann:secret")}};
  for (const RoutePolicy& policy : RoutePolicies()) {
    if (!policy.takes_json) continue;
    EXPECT_EQ(Send(policy, "{}", without).status, policy.needs_credentials ? 401 : 415)
        << Name(policy);
    EXPECT_EQ(Send(policy, "{}", with).status, 415) << Name(policy);
  }
}

TEST_F(AdmissionTest, ABodyBeyondItsRoutesLimitIsRefusedUnread) {
  Start();
  for (const RoutePolicy& policy : RoutePolicies()) {
    const std::size_t limit = std::min<std::size_t>(policy.max_body_bytes, 64 << 20);
    EXPECT_THAT(AnswerToHeader(Name(policy) +
                               " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
                               std::to_string(limit + 1)),
                StartsWith("HTTP/1.1 413"))
        << Name(policy);
  }
}

// A list that takes eight to twenty times its text once it is parsed.
std::string Lists(int count) {
  std::string text = "[";
  for (int i = 0; i < count; ++i) text += "[0],";
  text.back() = ']';
  return text;
}

TEST_F(AdmissionTest, NoLargeBodyIsParsedOnAnIoThread) {
  Harness& gateway = Start();
  const std::string junk = ", \"junk\": " + Lists(40'000) + "}";
  const std::vector<std::pair<std::string, std::string>> requests = {
      {"/webhook", R"({"action": "PROJECT_UPDATED")" + junk},
      {"/setup", R"({"project": "1")" + junk},
      {"/predict", R"({"tasks": [{"data": {}}])" + junk},
      {"/train", R"({"annotations": [1])" + junk},
      {"/validate", R"({"config": "")" + junk},
  };
  std::latch go(1);
  for (int i = 0; i < 2; ++i) boost::asio::post(gateway.app().pool, [&go] { go.wait(); });

  std::vector<std::future<Reply>> replies;
  for (const auto& [path, body] : requests) {
    replies.push_back(std::async(std::launch::async, [&, path = path, body = body] {
      return gateway.Send("POST", path, body);
    }));
  }
  EXPECT_EQ(gateway.Get("/health").status, 200);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    EXPECT_EQ(replies[i].wait_for(std::chrono::milliseconds(50)), std::future_status::timeout)
        << requests[i].first << " was parsed although the pool is busy";
  }

  go.count_down();
  for (std::future<Reply>& reply : replies) EXPECT_LT(reply.get().status, 500);
}

TEST_F(AdmissionTest, NoLargeSettingsAreReadOnAnIoThread) {
  Harness& gateway = Start();
  std::string label_map;
  for (int i = 0; i < 200'000; ++i) {
    label_map += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":"cat")";
  }
  const std::string body =
      R"({"project": "1", "extra_params": {"label_map": {)" + label_map + "}}}";
  const auto seconds = [](const timespec& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  // The CPU time of the pool's threads, and of the process.
  const auto used = [&] {
    std::barrier both(2);
    std::vector<std::future<double>> threads;
    for (int i = 0; i < 2; ++i) {
      auto task = std::make_shared<std::packaged_task<double()>>([&] {
        both.arrive_and_wait();
        timespec time;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return seconds(time);
      });
      threads.push_back(task->get_future());
      boost::asio::post(gateway.app().pool, [task] { (*task)(); });
    }
    double pool = 0;
    for (std::future<double>& thread : threads) pool += thread.get();
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::pair(pool, seconds(time));
  };

  const auto [pool_before, all_before] = used();
  for (int i = 0; i < 3; ++i) {
    const Reply reply = gateway.Send("POST", "/setup", body);
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr("at most 2097152"));
  }
  const auto [pool_after, all_after] = used();

  EXPECT_GT(pool_after - pool_before, 0.7 * (all_after - all_before));
}

TEST_F(AdmissionTest, WhatAParsedBodyTakesIsOfTheBudgetToo) {
  HarnessOptions options;
  options.request_memory_bytes = 4 << 20;
  Harness& gateway = Start(std::move(options));
  const std::string lists = Lists(200'000);  // 800 KB, and 15 MB as values
  ASSERT_LT(lists.size(), std::size_t{1} << 20);

  const Reply kept =
      gateway.Send("POST", "/predict",
                   R"({"tasks": [{"id": 1, "data": {"image": "x", "more": )" + lists + "}}]}");
  const Reply skipped =
      gateway.Send("POST", "/webhook", R"({"action": "PROJECT_UPDATED", "more": )" + lists + "}");

  EXPECT_EQ(kept.status, 503) << kept.body;
  EXPECT_EQ(kept.Header("Retry-After"), "2");
  EXPECT_EQ(skipped.status, 200) << "what nobody needs takes nothing: " << skipped.body;
  const Reply next = gateway.Post("/predict", PredictBody(kConfig, {PngDataUri(320, 240)}));
  EXPECT_EQ(next.status, 200) << next.body;
}

}  // namespace
}  // namespace gateway::testing
