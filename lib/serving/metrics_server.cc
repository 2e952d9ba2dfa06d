#include "serving/metrics_server.h"

#include <absl/status/status.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "text/authority.h"

namespace serving {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kPatience(10);
constexpr int kMaxConnections = 16;  // scrapers are one or two

http::response<http::string_body> Respond(const http::request<http::empty_body>& request,
                                          const Metrics& metrics,
                                          const std::function<bool()>& ready) {
  http::response<http::string_body> response(http::status::ok, request.version());
  response.keep_alive(false);
  response.set(http::field::content_type, "text/plain");
  const std::string_view path = request.target().substr(0, request.target().find('?'));
  if (path != "/metrics" && path != "/livez" && path != "/readyz") {
    response.result(http::status::not_found);
    response.body() = "only /metrics, /livez and /readyz are here\n";
  } else if (request.method() != http::verb::get && request.method() != http::verb::head) {
    response.result(http::status::method_not_allowed);
    response.set(http::field::allow, "GET, HEAD");
  } else if (path == "/livez" || (path == "/readyz" && ready())) {
    response.body() = "ok\n";
  } else if (path == "/readyz") {
    response.result(http::status::service_unavailable);
    response.body() = "starting or draining\n";
  } else {
    response.set(http::field::content_type, Metrics::kTextType);
    response.body() = metrics.Text();
  }
  response.prepare_payload();
  if (request.method() == http::verb::head) response.body().clear();
  return response;
}

}  // namespace

class MetricsServer::Impl {
 public:
  Impl(const Metrics& metrics, std::function<bool()> ready)
      : metrics_(metrics), ready_(std::move(ready)), acceptor_(io_), pause_(io_) {}

  ~Impl() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  boost::system::error_code Listen(const std::string& bind, int port) {
    boost::system::error_code error;
    const auto found =
        tcp::resolver(io_).resolve(bind, std::to_string(port), tcp::resolver::passive, error);
    if (error) return error;
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return error;
    asio::co_spawn(io_, Accept(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
    return error;
  }

  int port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::awaitable<void> Accept() {
    while (true) {
      auto [error, socket] = co_await acceptor_.async_accept(kAwait);
      if (!error && connections_ < kMaxConnections) {
        asio::co_spawn(io_, Answer(std::move(socket)), asio::detached);
      } else if (error) {  // out of file descriptors, most likely
        pause_.expires_after(std::chrono::milliseconds(100));
        co_await pause_.async_wait(kAwait);
      }
    }
  }

  asio::awaitable<void> Answer(tcp::socket socket) {
    ++connections_;
    beast::tcp_stream stream(std::move(socket));
    stream.expires_after(kPatience);
    beast::flat_buffer buffer(/*max_size=*/8192);
    http::request<http::empty_body> request;
    if (const auto [error, bytes] = co_await http::async_read(stream, buffer, request, kAwait);
        !error) {
      const auto response = Respond(request, metrics_, ready_);
      co_await http::async_write(stream, response, kAwait);
      boost::system::error_code ignored;
      stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }
    --connections_;
  }

  const Metrics& metrics_;
  const std::function<bool()> ready_;
  asio::io_context io_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  int connections_ = 0;  // of the thread
  std::thread thread_;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetricsServer::~MetricsServer() = default;

int MetricsServer::port() const { return impl_->port(); }

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& bind,
                                                                    int port,
                                                                    const Metrics& metrics,
                                                                    std::function<bool()> ready) {
  auto impl = std::make_unique<Impl>(metrics, std::move(ready));
  if (const auto error = impl->Listen(bind, port)) {
    return absl::UnavailableError("cannot listen on " + text::JoinHostPort(bind, port) + ": " +
                                  error.message() + " (--metrics_port)");
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

}  // namespace serving
