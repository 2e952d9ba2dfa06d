// Against a real redis-server, which is killed, frozen and started again, and against one that
// doesn't keep to the protocol.
#include "serving/redis/redis_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/testing/log_capture.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet_testing::IsOk;
using duet_testing::LogCapture;
using duet_testing::RedisServer;
using duet_testing::StatusIs;
using testing::HasSubstr;
using testing::SizeIs;

// Generous: on a busy machine a healthy server may be silent for a second.
RedisClient::Options Patient() {
  return {.timeout = absl::Seconds(30), .last_retry = absl::Milliseconds(200)};
}
// For servers that never answer.
RedisClient::Options Impatient() {
  RedisClient::Options options = Patient();
  options.timeout = absl::Milliseconds(50);
  return options;
}

absl::Status Set(RedisClient& client, const std::string& key, const std::string& value,
                 absl::Duration time_to_live = absl::Hours(1)) {
  std::promise<absl::Status> done;
  client.Set(key, value, time_to_live, [&](absl::Status status) { done.set_value(status); });
  return done.get_future().get();
}

void AwaitUp(const RedisClient& client, bool up) {
  while (client.up() != up) std::this_thread::yield();
}

class RedisClientTest : public testing::Test {
 protected:
  std::unique_ptr<RedisClient> Connect(const std::string& url,
                                       const RedisClient::Options& options = Patient()) {
    return std::make_unique<RedisClient>(ParseRedisUrl(url).value(), options, metrics_);
  }
  double Count(const char* command, const char* outcome) {
    return metrics_.Get(kRedisCommands, {command, outcome}).Value();
  }

  Metrics metrics_;
};

TEST_F(RedisClientTest, WhatOneSetsAnotherGets) {
  RedisServer server;
  const auto one = Connect(server.url()), other = Connect(server.url());
  // Any bytes, and more than a socket's buffer takes.
  std::string value(16 << 20, '\0');
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 31 + i / 997);

  ASSERT_THAT(Set(*one, "picture", value), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string got, other->GetAndWait("picture"));

  EXPECT_TRUE(got == value);
  EXPECT_EQ(Count("SET", "stored"), 1);
  EXPECT_EQ(Count("GET", "hit"), 1);
  EXPECT_EQ(metrics_.Get(kRedisUp).Value(), 1);
}

TEST_F(RedisClientTest, AbsentDeletedAndExpiredValuesAreNotFound) {
  RedisServer server;
  const auto client = Connect(server.url());
  ASSERT_THAT(Set(*client, "deleted", "x"), IsOk());
  ASSERT_THAT(Set(*client, "expired", "x", absl::Milliseconds(1)), IsOk());
  std::promise<absl::Status> deleted;
  client->Delete("deleted", [&](absl::Status status) { deleted.set_value(status); });
  ASSERT_THAT(deleted.get_future().get(), IsOk());

  EXPECT_THAT(client->GetAndWait("absent"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(client->GetAndWait("deleted"), StatusIs(absl::StatusCode::kNotFound));
  while (client->GetAndWait("expired").ok()) std::this_thread::yield();
}

TEST_F(RedisClientTest, LifetimesAreMilliseconds) {
  RedisServer server;
  const auto client = Connect(server.url());

  ASSERT_THAT(Set(*client, "kept", "x", absl::Minutes(5)), IsOk());

  EXPECT_GT(server.TimeToLive("kept"), absl::ZeroDuration());
  EXPECT_LE(server.TimeToLive("kept"), absl::Minutes(5));
}

TEST_F(RedisClientTest, ManyAtOnceAreEachAnsweredWithTheirOwn) {
  RedisServer server;
  const auto client = Connect(server.url());
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Set(*client, std::to_string(i), std::to_string(i * i)), IsOk());
  }
  std::vector<std::promise<absl::StatusOr<std::string>>> answers(100);
  for (int i = 0; i < 100; ++i) {
    client->Get(std::to_string(i), [&, i](auto value) { answers[i].set_value(std::move(value)); });
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(answers[i].get_future().get().value(), std::to_string(i * i));
  }
}

TEST_F(RedisClientTest, AuthenticatesAndSelectsTheDatabase) {
  RedisServer server({"--requirepass", "secret"});
  const std::string at = "@127.0.0.1:" + std::to_string(server.port());
  const auto client = Connect("redis://:secret" + at),
             user = Connect("redis://default:secret" + at),
             third = Connect("redis://:secret" + at + "/3");

  ASSERT_THAT(Set(*client, "key", "zero"), IsOk());
  ASSERT_THAT(Set(*third, "key", "three"), IsOk());

  EXPECT_EQ(client->GetAndWait("key").value(), "zero");
  EXPECT_EQ(user->GetAndWait("key").value(), "zero");
}

TEST_F(RedisClientTest, AWrongPasswordIsOneLineThatDoesNotRepeatIt) {
  LogCapture log;
  RedisServer server({"--requirepass", "secret"});
  const auto client = Connect("redis://:guess@127.0.0.1:" + std::to_string(server.port()));

  EXPECT_FALSE(client->up());
  EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(log.lines("redis.down"), SizeIs(1));
  EXPECT_THAT(log.lines("redis.down")[0], HasSubstr("WRONGPASS"));
  EXPECT_THAT(log.lines("redis.down")[0], testing::Not(HasSubstr("guess")));
}

TEST_F(RedisClientTest, KilledItIsDoneWithoutAndStartedAgainItIsFound) {
  LogCapture log;
  RedisServer server;
  const auto client = Connect(server.url());
  ASSERT_THAT(Set(*client, "key", "value"), IsOk());

  server.Kill();
  AwaitUp(*client, false);  // although nobody asks
  EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Count("GET", "refused"), 1);
  server.Start();
  AwaitUp(*client, true);

  EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Set(*client, "key", "value"), IsOk());
  EXPECT_THAT(log.lines("redis.down"), SizeIs(1)) << "retries are not worth a line each";
  EXPECT_THAT(log.lines("redis.up"), SizeIs(2));
}

TEST_F(RedisClientTest, OneThatIsFrozenFailsOnceAndIsThenLeftAlone) {
  LogCapture log;
  RedisServer server;
  const auto client = Connect(server.url(), Impatient());
  AwaitUp(*client, true);
  server.Freeze();

  EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitUp(*client, false);
  for (int i = 0; i < 1000; ++i) {  // each would take a timeout
    EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_EQ(Count("GET", "lost"), 1);
  EXPECT_EQ(Count("GET", "refused"), 1000);
  server.Thaw();
  AwaitUp(*client, true);
}

TEST_F(RedisClientTest, WhatWaitsBehindAFrozenServerIsAnsweredToo) {
  RedisServer server;
  const auto client = Connect(server.url(), Impatient());
  AwaitUp(*client, true);
  server.Freeze();

  std::atomic<int> answered = 0;
  for (int i = 0; i < 10; ++i) {
    client->Get("key", [&](const auto&) { ++answered; });
    client->Set("key", "value", absl::Hours(1), [&](const auto&) { ++answered; });
  }

  while (answered < 20) std::this_thread::yield();
}

TEST_F(RedisClientTest, QueuedValuesAreBounded) {
  RedisServer server;
  RedisClient::Options options = Patient();
  options.max_queued_bytes = 100;
  const auto client = Connect(server.url(), options);

  EXPECT_THAT(Set(*client, "key", std::string(101, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Set(*client, "key", std::string(50, 'x')), IsOk());
}

TEST_F(RedisClientTest, ARefusalOfOneCommandKeepsTheConnection) {
  RedisServer server({"--maxmemory", "1"});
  const auto client = Connect(server.url());

  EXPECT_THAT(Set(*client, "key", "x"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("OOM")));
  EXPECT_THAT(client->GetAndWait("key"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Count("SET", "error"), 1);
}

TEST_F(RedisClientTest, EndsWhileTheServerIsFrozen) {
  RedisServer server;
  auto client = Connect(server.url(), Impatient());
  AwaitUp(*client, true);
  server.Freeze();
  std::atomic<bool> answered = false;
  client->Get("key", [&](const auto&) { answered = true; });

  client.reset();

  EXPECT_TRUE(answered);
}

// Answers the greeting's PING, then everything with `answer`.
class WrongServer {
 public:
  explicit WrongServer(std::string answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    listen(listener_, 8);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = "redis://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~WrongServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  const std::string& url() const { return url_; }

 private:
  void Serve() {
    int client;
    while ((client = accept(listener_, nullptr, nullptr)) >= 0) {
      char buffer[4096];
      for (bool first = true; recv(client, buffer, sizeof buffer, 0) > 0; first = false) {
        const std::string& text = first ? kPong : answer_;
        send(client, text.data(), text.size(), MSG_NOSIGNAL);
      }
      close(client);
    }
  }

  const std::string kPong = "+PONG\r\n";
  const std::string answer_;
  std::string url_;
  int listener_;
  std::thread thread_;
};

TEST_F(RedisClientTest, AnswersOutOfFormEndTheConnectionOnly) {
  RedisClient::Options options = Patient();
  options.max_value_bytes = 1000;
  for (const std::string& answer :
       {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string("*2147483647\r\n"),
        std::string("$99999999999999999999\r\n"), std::string("$-2\r\n"),
        "$5000\r\n" + std::string(2000, 'x'), std::string("$1\r\nx\r\n$1\r\ny\r\n")}) {
    LogCapture log;
    WrongServer server(answer);
    const auto client = Connect(server.url(), options);
    AwaitUp(*client, true);

    const auto value = client->GetAndWait("key");

    // The last one is a right answer with another behind it.
    EXPECT_TRUE(absl::IsUnavailable(value.status()) || value.value_or("") == "x") << answer;
    while (log.lines("redis.down").empty()) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace serving
