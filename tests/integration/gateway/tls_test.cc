// HTTPS over a real socket with a certificate of the test's own, loaded as the flags load it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <future>
#include <memory>
#include <thread>

#include "gateway/http/server.h"
#include "gateway/options.h"
#include "tests/testing/certificates.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using duet_testing::Authority;
using duet_testing::Identity;
using duet_testing::StatusIs;
using ::testing::HasSubstr;

class TlsTest : public ::testing::Test {
 protected:
  void Start() {
    options_.tls_certificate = directory_.Write("certificate.pem", identity_.certificate);
    options_.tls_key = directory_.Write("key.pem", identity_.key);
    router_.AddQuick(beast::http::verb::get, "/health", [](const http::Request&, http::Context&) {
      return http::Response{.body = "\"up\""};
    });
    router_.Add(beast::http::verb::get, "/wait",
                [this](const http::Request&, http::Context&) -> asio::awaitable<http::Response> {
                  entered_.set_value();
                  asio::steady_timer never(co_await asio::this_coro::executor,
                                           asio::steady_timer::time_point::max());
                  try {
                    co_await never.async_wait(asio::use_awaitable);
                  } catch (const boost::system::system_error&) {
                    cancelled_.set_value();
                    throw;
                  }
                  co_return http::Response{};
                });
    auto tls = LoadTls(options_);
    ASSERT_TRUE(tls.ok()) << tls.status();
    http::ServerOptions http;
    http.tls = *tls;
    server_ = *http::Server::Start(io_, router_, http);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~TlsTest() override {
    if (!server_) return;
    server_->Drain(std::chrono::seconds(5));
    io_.stop();
    thread_.join();
  }

  using Stream = ssl::stream<tcp::socket>;
  // Connected and shaken hands, trusting the authority `certificate` alone. Throws if that fails.
  Stream Connect(asio::io_context& io, const std::string& certificate) {
    ssl::context context(ssl::context::tls_client);
    context.add_certificate_authority(asio::buffer(certificate));
    Stream stream(io, context);
    stream.set_verify_mode(ssl::verify_peer);
    stream.set_verify_callback(ssl::host_name_verification("127.0.0.1"));
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), server_->port()});
    stream.handshake(Stream::client);
    return stream;
  }
  static std::string Get(Stream& stream, const std::string& path) {
    beast::http::request<beast::http::empty_body> request(beast::http::verb::get, path, 11);
    request.set(beast::http::field::host, "127.0.0.1");
    beast::http::write(stream, request);
    beast::flat_buffer buffer;
    beast::http::response<beast::http::string_body> response;
    beast::http::read(stream, buffer, response);
    return response.body();
  }

  const Authority authority_;
  const Identity identity_ = authority_.Issue();
  const duet_testing::TempDir directory_;
  Options options_;
  http::Router router_;
  asio::io_context io_;
  std::promise<void> entered_;
  std::promise<void> cancelled_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

TEST_F(TlsTest, RequestsOfOneConnectionAreAnsweredToWhoeverTrustsTheCertificate) {
  Start();
  asio::io_context io;
  Stream stream = Connect(io, authority_.certificate());

  EXPECT_EQ(Get(stream, "/health"), "\"up\"");
  EXPECT_EQ(Get(stream, "/health"), "\"up\"");
}

TEST_F(TlsTest, StrangersAndPlainTextEndTheirOwnConnectionOnly) {
  Start();
  asio::io_context io;
  EXPECT_THROW(Connect(io, Authority().certificate()), boost::system::system_error);
  {
    tcp::socket plain(io);
    plain.connect({asio::ip::make_address("127.0.0.1"), server_->port()});
    asio::write(plain, asio::buffer(std::string("GET /health HTTP/1.1\r\n\r\n")));
    std::string answer;
    boost::system::error_code error;
    asio::read(plain, asio::dynamic_buffer(answer), error);
    EXPECT_TRUE(error) << "closed";
    EXPECT_EQ(answer.find("up"), std::string::npos);
  }

  Stream stream = Connect(io, authority_.certificate());
  EXPECT_EQ(Get(stream, "/health"), "\"up\"");
}

TEST_F(TlsTest, OldProtocolVersionsAreRefused) {
  Start();
  asio::io_context io;
  ssl::context context(ssl::context::tls_client);
  SSL_CTX_set_security_level(context.native_handle(), 0);
  SSL_CTX_set_max_proto_version(context.native_handle(), TLS1_1_VERSION);
  Stream stream(io, context);
  stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), server_->port()});
  boost::system::error_code error;
  stream.handshake(Stream::client, error);

  EXPECT_TRUE(error);
}

TEST_F(TlsTest, AHangUpCancelsTheHandler) {
  Start();
  {
    asio::io_context io;
    Stream stream = Connect(io, authority_.certificate());
    beast::http::request<beast::http::empty_body> request(beast::http::verb::get, "/wait", 11);
    request.set(beast::http::field::host, "127.0.0.1");
    beast::http::write(stream, request);
    entered_.get_future().wait();
  }

  EXPECT_EQ(cancelled_.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST_F(TlsTest, ARenewedCertificateIsShownToNewConnections) {
  const auto serial = [](Stream& stream) {
    X509* const shown = SSL_get1_peer_certificate(stream.native_handle());
    const long number = ASN1_INTEGER_get(X509_get_serialNumber(shown));
    X509_free(shown);
    return number;
  };
  Start();
  asio::io_context io;
  Stream before = Connect(io, authority_.certificate());

  const Identity renewed = authority_.Issue();
  directory_.Write("certificate.pem", renewed.certificate);
  Stream meanwhile = Connect(io, authority_.certificate());
  directory_.Write("key.pem", renewed.key);
  Stream after = Connect(io, authority_.certificate());

  EXPECT_EQ(serial(meanwhile), serial(before)) << "half of a renewal changes nothing";
  EXPECT_NE(serial(after), serial(before));
  EXPECT_EQ(Get(before, "/health"), "\"up\"");
  EXPECT_EQ(Get(after, "/health"), "\"up\"");
}

TEST_F(TlsTest, TheHealthCheckOfItsImageNeedsNoAuthority) {
  Start();
  const std::string url = "https://127.0.0.1:" + std::to_string(server_->port());

  duet_testing::Subprocess healthy({DUET_HEALTH_CHECK, url + "/health"});
  duet_testing::Subprocess unhealthy({DUET_HEALTH_CHECK, url + "/none"});

  EXPECT_EQ(healthy.Wait(), 0) << healthy.err();
  EXPECT_EQ(unhealthy.Wait(), 1);
  EXPECT_THAT(unhealthy.err(), HasSubstr(url + "/none answered 404"));
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamed) {
  options_.tls_certificate = directory_.path() + "/none.pem";
  options_.tls_key = directory_.Write("key.pem", identity_.key);
  EXPECT_THAT(LoadTls(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none.pem")));

  options_.tls_certificate = directory_.Write("certificate.pem", identity_.certificate);
  options_.tls_key = directory_.Write("other.pem", authority_.Issue().key);
  EXPECT_THAT(LoadTls(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other.pem")));

  options_.tls_key = "";
  EXPECT_THAT(Check(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls_key")));
}

}  // namespace
}  // namespace gateway
