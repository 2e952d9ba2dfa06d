// The HTTP server over real sockets: what well-behaved, slow, large and vanishing clients get.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "gateway/http/server.h"
#include "serving/host_port.h"

namespace gateway::http {
namespace {

using boost::asio::awaitable;
using boost::asio::ip::tcp;
using boost::beast::http::verb;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

// A raw client, so that a test decides about every byte.
class RawClient {
 public:
  // Not connected yet.
  RawClient() : socket_(io_, tcp::v4()) {}
  explicit RawClient(std::uint16_t port, const char* address = "127.0.0.1") : socket_(io_) {
    Connect(port, address);
  }
  void Connect(std::uint16_t port, const char* address = "127.0.0.1") {
    socket_.connect({boost::asio::ip::make_address(address), port});
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void Send(std::string_view bytes) { boost::asio::write(socket_, boost::asio::buffer(bytes)); }
  // As Send, but the server may have closed already.
  void TrySend(std::string_view bytes) {
    boost::system::error_code ignored;
    boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
  }
  // One answer with a Content-Length.
  std::string Read() {
    while (received_.find("\r\n\r\n") == std::string::npos) {
      if (!ReadSome()) return std::exchange(received_, "");
    }
    const std::size_t body = received_.find("\r\n\r\n") + 4;
    const std::size_t length = received_.find("Content-Length: ");
    const std::size_t end = body + (length < body ? std::stoul(received_.substr(length + 16)) : 0);
    while (received_.size() < end) {
      if (!ReadSome()) break;
    }
    std::string answer = received_.substr(0, end);
    received_.erase(0, end);
    return answer;
  }
  // Everything until the server closes; fails the test if it doesn't.
  std::string ReadToEnd() {
    while (ReadSome()) {
    }
    EXPECT_TRUE(closed_) << "the server kept the connection open";
    return std::exchange(received_, "");
  }
  void HangUp() { socket_.close(); }

 private:
  bool ReadSome() {
    char chunk[4096];
    const auto count = ::recv(socket_.native_handle(), chunk, sizeof chunk, 0);
    closed_ = count == 0 || (count < 0 && errno == ECONNRESET);
    if (count <= 0) return false;
    received_.append(chunk, static_cast<std::size_t>(count));
    return true;
  }

  boost::asio::io_context io_;
  tcp::socket socket_;
  std::string received_;
  bool closed_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    router_.AddQuick(verb::get, "/quick",
                     [](const Request&, Context&) { return Response{.body = "{}"}; });
    router_.Add(verb::post, "/echo", [](const Request& request, Context&) -> awaitable<Response> {
      co_return Response{.body = request.body};
    });
    router_.Add(verb::get, "/throw", [](const Request&, Context&) -> awaitable<Response> {
      throw std::runtime_error("secret");
      co_return Response{};
    });
    router_.Add(verb::post, "/small", [](const Request& request, Context&) -> awaitable<Response> {
      co_return Response{.body = request.body};
    });
    router_.AddQuick(verb::get, "/secret",
                     [](const Request&, Context&) { return Response{.body = "secret"}; });
    // Suspends until the test lets it go on, or it is cancelled.
    const auto wait = [this](const Request&, Context&) -> awaitable<Response> {
      boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
      entered_.set_value();
      try {
        while (!released_) {
          timer.expires_after(milliseconds(2));
          co_await timer.async_wait(boost::asio::use_awaitable);
        }
      } catch (const boost::system::system_error&) {
        cancelled_.set_value();
        throw;
      }
      co_return Response{.body = "\"waited\""};
    };
    router_.Add(verb::get, "/wait", wait);
    router_.Add(verb::post, "/hold", wait);
    router_.Add(verb::post, "/open", wait);
    router_.Seal([](Route& route) {
      route.body = {.max_bytes = route.pattern == "/small" ? 10 : std::size_t{1} << 30,
                    .from_anybody = route.pattern == "/open"};
      route.gate = [](const Request& request, const Context&) -> std::optional<Response> {
        if (request.Header("X-Refuse").empty()) return std::nullopt;
        return ErrorResponse(401, "No.");
      };
    });
  }

  ~HttpServerTest() override {
    released_ = true;
    if (server_) server_->Drain(seconds(10));
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  void StartServer(ServerOptions options = {}) {
    options.on_finished = [this](const Request&, const Context& context,
                                 const AccessRecord& record) {
      std::lock_guard lock(mutex_);
      finished_.push_back(std::to_string(record.status) + " " + context.route);
    };
    auto server = Server::Start(io_, router_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
  }

  RawClient Connect() { return RawClient(server_->port()); }

  Router router_;
  boost::asio::io_context io_;
  std::unique_ptr<Server> server_;
  std::vector<std::thread> threads_;
  std::promise<void> entered_;
  std::promise<void> cancelled_;
  std::atomic<bool> released_ = false;
  std::mutex mutex_;
  std::vector<std::string> finished_;
};

TEST_F(HttpServerTest, KeepsAConnectionForManyRequests) {
  StartServer();
  RawClient client = Connect();

  for (int i = 0; i < 3; ++i) {
    client.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.Read(), StartsWith("HTTP/1.1 200 OK"));
  }
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
  EXPECT_THAT(client.ReadToEnd(), testing::EndsWith("\r\n\r\nhello"));
}

TEST_F(HttpServerTest, ARequestThatArrivesByteByByteIsAnsweredLikeAnyOther) {
  StartServer();
  RawClient client = Connect();

  for (const char byte :
       std::string("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")) {
    client.Send(std::string(1, byte));
  }

  EXPECT_THAT(client.Read(), testing::EndsWith("\r\n\r\nhello"));
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  RawClient client = Connect();

  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb"
      "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(client.Read(), testing::EndsWith("\r\n\r\na"));
  EXPECT_THAT(client.Read(), testing::EndsWith("\r\n\r\nb"));
  EXPECT_THAT(client.ReadToEnd(), testing::EndsWith("\r\n\r\n{}"));
}

TEST_F(HttpServerTest, TheRequestIdIsReturnedOrMade) {
  StartServer();
  RawClient client = Connect();

  client.Send("GET /quick HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-1\r\n\r\n");
  EXPECT_THAT(client.Read(), HasSubstr("X-Request-Id: abc-1\r\n"));
  client.Send("GET /quick HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\"b\r\n\r\n");
  EXPECT_THAT(client.Read(), testing::ContainsRegex("X-Request-Id: [0-9a-f]{32}\r\n"));
}

TEST_F(HttpServerTest, HeadHasTheHeaderAlone) {
  StartServer();
  RawClient client = Connect();

  client.Send("HEAD /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  const std::string answer = client.ReadToEnd();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, GarbageGetsASentence) {
  StartServer();
  RawClient client = Connect();

  client.Send("\x16\x03\x01 this is no HTTP\r\n\r\n");

  const std::string answer = client.ReadToEnd();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer, HasSubstr("{\"error\":\"This is not an HTTP request"));
}

TEST_F(HttpServerTest, AHeaderTooLargeGets431) {
  StartServer({.max_header_bytes = 1024});
  RawClient client = Connect();

  client.TrySend("GET /quick HTTP/1.1\r\nHost: x\r\nX: " + std::string(4000, 'x') + "\r\n\r\n");

  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 431"));
}

TEST_F(HttpServerTest, ABodyTooLargeGets413ThoughTheClientSendsAllOfItFirst) {
  StartServer({.max_body_bytes = 1000});
  RawClient announced = Connect();
  announced.TrySend("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" +
                    std::string(100000, 'x'));
  EXPECT_THAT(announced.ReadToEnd(), HasSubstr("413"));

  RawClient chunked = Connect();
  chunked.TrySend("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" +
                  std::string(0x800, 'x') + "\r\n0\r\n\r\n");
  EXPECT_THAT(chunked.ReadToEnd(), HasSubstr("larger than 1000 bytes"));
}

TEST_F(HttpServerTest, AClientThatWantsToBeToldToGoOnIsTold) {
  StartServer();
  RawClient client = Connect();

  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_THAT(client.Read(), StartsWith("HTTP/1.1 100"));
  client.Send("ok");
  EXPECT_THAT(client.ReadToEnd(), testing::EndsWith("\r\n\r\nok"));
}

TEST_F(HttpServerTest, AClientThatStallsInItsHeaderIsCutOff) {
  StartServer({.header_timeout = milliseconds(50)});
  RawClient client = Connect();

  client.Send("GET /quick HT");

  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTest, AClientThatStallsInItsBodyIsCutOff) {
  StartServer({.body_timeout = milliseconds(50)});
  RawClient client = Connect();

  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhel");

  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTest, AnIdleConnectionIsClosed) {
  StartServer({.idle_timeout = milliseconds(50)});
  RawClient client = Connect();

  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTest, OneConnectionTooManyIsTurnedAway) {
  StartServer({.max_connections = 1});
  RawClient first = Connect();
  first.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  first.Read();  // it has a session now

  RawClient second = Connect();

  EXPECT_THAT(second.ReadToEnd(), HasSubstr("503"));
  first.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.Read(), HasSubstr("200"));
}

TEST_F(HttpServerTest, AHandlerThatThrowsIsA500WithoutItsReason) {
  StartServer();
  RawClient client = Connect();

  client.Send("GET /throw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  const std::string answer = client.ReadToEnd();
  EXPECT_THAT(answer, HasSubstr("500"));
  EXPECT_THAT(answer, testing::Not(HasSubstr("secret")));
}

TEST_F(HttpServerTest, AHangUpCancelsTheHandler) {
  StartServer();
  RawClient client = Connect();
  client.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  entered_.get_future().wait();

  client.HangUp();

  EXPECT_EQ(cancelled_.get_future().wait_for(seconds(20)), std::future_status::ready);
}

TEST_F(HttpServerTest, AHangUpBehindAPipelinedRequestCancelsTheHandlerToo) {
  StartServer();
  RawClient client = Connect();
  client.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  entered_.get_future().wait();

  client.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  client.HangUp();

  EXPECT_EQ(cancelled_.get_future().wait_for(seconds(20)), std::future_status::ready);
}

TEST_F(HttpServerTest, DrainFinishesWhatIsInFlightAndClosesWhatIsIdle) {
  StartServer();
  RawClient idle = Connect();
  idle.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.Read();
  RawClient busy = Connect();
  busy.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  entered_.get_future().wait();

  auto drained = std::async([this] { return server_->Drain(seconds(20)); });
  EXPECT_EQ(idle.ReadToEnd(), "");
  released_ = true;

  const std::string answer = busy.ReadToEnd();
  EXPECT_THAT(answer, HasSubstr("\"waited\""));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_TRUE(drained.get());
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(HttpServerTest, OnceItStopsKeepingConnectionsClientsLeaveByThemselves) {
  StartServer();
  RawClient kept = Connect();
  kept.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(kept.Read(), Not(HasSubstr("Connection: close")));

  server_->StopKeepingConnections();

  RawClient other = Connect();
  for (RawClient* client : {&kept, &other}) {
    client->Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = client->ReadToEnd();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
  }
}

TEST_F(HttpServerTest, DrainCutsOffWhatDoesNotFinish) {
  StartServer();
  RawClient busy = Connect();
  busy.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  entered_.get_future().wait();

  EXPECT_FALSE(server_->Drain(milliseconds(20)));

  EXPECT_EQ(busy.ReadToEnd(), "");
  EXPECT_EQ(cancelled_.get_future().wait_for(seconds(20)), std::future_status::ready);
}

TEST_F(HttpServerTest, APortInUseIsNamed) {
  StartServer();

  const auto second = Server::Start(io_, router_, {.port = server_->port()});

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("Address already in use"));
}

TEST_F(HttpServerTest, AnIpv6AddressIsListenedOnAndNamedWithItsBrackets) {
  if (!serving::CheckCanListen("::1", 0, "").ok()) GTEST_SKIP() << "this machine has no IPv6";
  StartServer({.bind = "::1"});
  RawClient client(server_->port(), "::1");
  client.Send("GET /quick HTTP/1.1\r\nHost: [::1]\r\n\r\n");
  EXPECT_THAT(client.Read(), StartsWith("HTTP/1.1 200"));

  const auto second = Server::Start(io_, router_, {.bind = "::1", .port = server_->port()});
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("[::1]:" + std::to_string(server_->port())));
}

TEST_F(HttpServerTest, EveryAnswerIsReportedOnce) {
  StartServer();
  RawClient client = Connect();

  client.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  client.Read();
  client.Send("GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  client.ReadToEnd();

  std::lock_guard lock(mutex_);
  EXPECT_THAT(finished_, testing::ElementsAre("200 /quick", "404 "));
}

// RFC 9112, section 6.3. What follows such a request must never be taken for another one.
struct FramingCase {
  std::string name;
  std::string request;  // with "GET /secret" where a body or its end may be
};

constexpr char kSecret[] = "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n";

class FramingTest : public HttpServerTest, public testing::WithParamInterface<FramingCase> {};

TEST_P(FramingTest, IsRefusedAndItsConnectionClosed) {
  StartServer();
  RawClient client = Connect();

  client.TrySend(GetParam().request);

  const std::string answers = client.ReadToEnd();
  EXPECT_THAT(answers, testing::ContainsRegex("^HTTP/1.[01] 400 "));
  EXPECT_THAT(answers, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answers, testing::Not(HasSubstr("secret")));
  EXPECT_EQ(answers.find("X-Request-Id: "), answers.rfind("X-Request-Id: ")) << answers;
}

// A POST to /echo with these fields, and the secret behind it.
FramingCase Post(std::string name, const std::string& fields, std::string_view body = "",
                 std::string_view version = "HTTP/1.1") {
  return {std::move(name), "POST /echo " + std::string(version) + "\r\nHost: x\r\n" + fields +
                               "\r\n" + std::string(body) + kSecret};
}

INSTANTIATE_TEST_SUITE_P(
    Requests, FramingTest,
    testing::Values(
        Post("UnknownCoding", "Transfer-Encoding: xchunked\r\n"),
        Post("UnknownCodingWithALength", "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n"),
        Post("ALengthWithAnUnknownCoding", "Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n"),
        Post("ChunkedIsNotLast", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        Post("AnotherCodingBefore", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        Post("Identity", "Transfer-Encoding: identity\r\n"),
        Post("EmptyCoding", "Transfer-Encoding:\r\n"),
        Post("ChunkedTwice", "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        Post("ChunkedInTwoFields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
             "0\r\n\r\n"),
        Post("CodingsInTwoFields", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
             "0\r\n\r\n"),
        Post("ChunkedWithParameters", "Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        Post("QuotedChunked", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        Post("ACodingOnAContinuedLine", "Transfer-Encoding: chunked\r\n , gzip\r\n", "0\r\n\r\n"),
        Post("ChunkedAndALength", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
             "0\r\n\r\n"),
        Post("ALengthAndChunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
             "0\r\n\r\n"),
        Post("ChunkedInHttp10", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "HTTP/1.0"),
        Post("TwoLengths", "Content-Length: 1\r\nContent-Length: 2\r\n", "a"),
        Post("TheSameLengthTwice", "Content-Length: 1\r\nContent-Length: 1\r\n", "a"),
        Post("AListOfLengths", "Content-Length: 1, 1\r\n", "a"),
        Post("ALengthWithASign", "Content-Length: +1\r\n", "a"),
        Post("ANegativeLength", "Content-Length: -1\r\n"),
        Post("AHexadecimalLength", "Content-Length: 0x1\r\n", "a"),
        Post("ALengthBeyond64Bits", "Content-Length: 18446744073709551617\r\n", "a"),
        Post("AnEmptyLength", "Content-Length:\r\n"),
        Post("SpaceBeforeTheColon", "Content-Length : 0\r\n"),
        Post("SpaceBeforeTheColonOfACoding", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        Post("SpaceBeforeAName", " Content-Length: 0\r\n"),
        Post("ALineThatEndsWithLfAlone", "Content-Length: 0\nX: y\r\n"),
        Post("ABareCr", "X: a\rContent-Length: 0\r\n"),
        Post("ANulInAValue", std::string("X: a\0b\r\n", 8)), Post("AnEmptyName", ": x\r\n"),
        Post("AChunkSizeBeyond64Bits", "Transfer-Encoding: chunked\r\n",
             "10000000000000001\r\na\r\n0\r\n\r\n"),
        Post("ANegativeChunkSize", "Transfer-Encoding: chunked\r\n", "-1\r\na\r\n0\r\n\r\n"),
        Post("AChunkSizeWithAPrefix", "Transfer-Encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"),
        Post("NoChunkSize", "Transfer-Encoding: chunked\r\n", "\r\na\r\n0\r\n\r\n"),
        Post("AChunkLongerThanItsSize", "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"),
        Post("AChunkSizeThatEndsWithLfAlone", "Transfer-Encoding: chunked\r\n",
             "1\na\r\n0\r\n\r\n"),
        Post("AHugeChunkExtension", "Transfer-Encoding: chunked\r\n",
             "1;" + std::string(200'000, 'x') + "\r\na\r\n0\r\n\r\n"),
        Post("ABadTrailer", "Transfer-Encoding: chunked\r\n", "0\r\nnot a field\r\n\r\n"),
        FramingCase{"NoHost",
                    std::string("POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n") + kSecret},
        FramingCase{"TwoHosts", std::string("POST /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n"
                                            "Content-Length: 0\r\n\r\n") +
                                    kSecret},
        FramingCase{"AnUnknownVersion",
                    std::string("POST /echo HTTP/2.0\r\nHost: x\r\n\r\n") + kSecret},
        FramingCase{"TwoSpaces", std::string("POST  /echo HTTP/1.1\r\nHost: x\r\n\r\n") + kSecret}),
    [](const auto& info) { return info.param.name; });

TEST_F(HttpServerTest, ChunksInEveryCaseWithExtensionsAndTrailersAreOneBody) {
  StartServer();
  RawClient client = Connect();

  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\ntransfer-encoding:\tChunked \r\n\r\n"
      "2;name=\"va;lue\"\r\nhe\r\n0003\r\nllo\r\n0\r\nX-Refuse: yes\r\n\r\n"
      "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(client.Read(), testing::EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(client.ReadToEnd(), testing::EndsWith("\r\n\r\n{}"));
}

TEST_F(HttpServerTest, EveryFormOfAHostIsServed) {
  StartServer();
  for (const std::string host :
       {"", "x", "x:80", "duet_gateway:8003", "127.0.0.1:8003", "[::1]:8003",
        "10.0.0.5.nip.io:8003", "10.0.0.5-duet.example.org"}) {
    RawClient client = Connect();
    client.Send("GET /quick HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 200 ")) << host;
  }
}

TEST_F(HttpServerTest, WhatTheHeaderDecidesIsAnsweredWithoutTheBody) {
  StartServer();
  for (const auto& [header, status] : std::vector<std::pair<std::string, std::string>>{
           {"POST /nowhere HTTP/1.1", "404"},
           {"PUT /echo HTTP/1.1", "405"},
           {"POST /echo HTTP/1.1\r\nX-Refuse: yes", "401"},
           {"POST /small HTTP/1.1", "413"}}) {
    for (const std::string expect : {"", "\r\nExpect: 100-continue"}) {
      RawClient client = Connect();
      client.Send(header + "\r\nHost: x\r\nContent-Length: 1000000" + expect + "\r\n\r\n");
      EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 " + status)) << header << expect;
    }
  }
}

TEST_F(HttpServerTest, AConnectionSurvivesARefusalWithASmallBody) {
  StartServer();
  RawClient client = Connect();

  client.Send(
      "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n"
      "GET /secret HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n"
      "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(client.Read(), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(client.ReadToEnd(), testing::EndsWith("\r\n\r\n{}"));
}

TEST_F(HttpServerTest, ARoutesOwnLimitHoldsForChunksToo) {
  StartServer();
  RawClient client = Connect();

  client.Send("POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.Send("6\r\nabcdef\r\n");
  client.Send("6\r\nabcdef\r\n");

  EXPECT_THAT(client.ReadToEnd(), HasSubstr("413"));
}

TEST_F(HttpServerTest, BodiesTogetherTakeNoMoreThanTheirBudget) {
  StartServer({.max_body_bytes = 1 << 20, .request_memory_bytes = 100'000});
  const auto post = [](const std::string& path) {
    return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
  };
  const std::string half(60'000, 'x');
  // Announced bytes take nothing before they arrive.
  RawClient announces = Connect();
  announces.Send(post("/echo"));
  RawClient holds = Connect();
  holds.Send(post("/hold") + half);
  entered_.get_future().wait();

  RawClient one_more = Connect();
  one_more.TrySend(post("/echo") + half);
  const std::string refusal = one_more.ReadToEnd();
  EXPECT_THAT(refusal, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(refusal, HasSubstr("Retry-After: "));
  RawClient chunked = Connect();
  chunked.TrySend("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n" +
                  half + "\r\n0\r\n\r\n");
  EXPECT_THAT(chunked.ReadToEnd(), StartsWith("HTTP/1.1 503"));
  released_ = true;
  EXPECT_THAT(holds.Read(), StartsWith("HTTP/1.1 200"));
  std::string answer;
  do {  // until its memory, which goes after its answer, is given back
    RawClient again = Connect();
    again.TrySend(post("/echo") + half);
    answer = again.Read();
  } while (answer.starts_with("HTTP/1.1 503"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, WhatAnybodyMaySendLeavesMemoryToOthers) {
  StartServer({.max_body_bytes = 1 << 20, .request_memory_bytes = 100'000});
  const std::string open =
      "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'x');
  RawClient holds_most = Connect();
  holds_most.Send(open);
  entered_.get_future().wait();

  RawClient one_more = Connect();
  one_more.TrySend(open);
  EXPECT_THAT(one_more.ReadToEnd(), StartsWith("HTTP/1.1 503"));
  RawClient other = Connect();
  other.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" +
             std::string(70'000, 'x'));
  EXPECT_THAT(other.Read(), StartsWith("HTTP/1.1 200"));
  released_ = true;
  EXPECT_THAT(holds_most.Read(), StartsWith("HTTP/1.1 200"));
}

// So that the next open() fails in this process, until it is destroyed.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::open("/dev/null", O_RDONLY);
    ::close(lowest_free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(HttpServerTest, WithoutDescriptorsAConnectionIsStillTurnedAway) {
  StartServer();
  RawClient served = Connect();
  served.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  served.Read();
  RawClient late;  // has its socket already
  {
    const NoMoreDescriptors none;
    late.Connect(server_->port());
    EXPECT_THAT(late.ReadToEnd(), StartsWith("HTTP/1.1 503"));
    served.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(served.Read(), StartsWith("HTTP/1.1 200"));
  }

  RawClient next = Connect();
  next.Send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(next.Read(), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace gateway::http
