#include "gateway/http/server.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "gateway/http/session.h"
#include "serving/log.h"
#include "text/authority.h"

namespace gateway::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

int Count(SessionHost& host) {
  const std::lock_guard lock(host.mutex);
  return static_cast<int>(host.sessions.size());
}

// Too many connections: one sentence, then the door.
void TurnAway(tcp::socket socket) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
      "Connection: close\r\nContent-Length: 52\r\n\r\n"
      "{\"error\": \"The gateway has too many connections.\"}  ";
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(kAnswer), ignored);  // fits into an empty send buffer
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

// A descriptor kept in hand: given up for a moment, it lets a connection that finds none left be
// accepted and turned away, which otherwise would wait without an answer.
class SpareDescriptor {
 public:
  SpareDescriptor() { Keep(); }
  ~SpareDescriptor() { GiveUp(); }
  SpareDescriptor(const SpareDescriptor&) = delete;
  SpareDescriptor& operator=(const SpareDescriptor&) = delete;

  void Keep() {
    if (descriptor_ < 0) descriptor_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  void GiveUp() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_ = -1;
};

// False if nobody could be told. The acceptor doesn't block.
bool TurnAwayWithoutDescriptors(tcp::acceptor& acceptor, SpareDescriptor& spare) {
  spare.GiveUp();
  tcp::socket socket(acceptor.get_executor());
  boost::system::error_code error;
  acceptor.accept(socket, error);
  if (!error) TurnAway(std::move(socket));  // closes it
  spare.Keep();
  return !error;
}

asio::awaitable<void> Accept(tcp::acceptor& acceptor, std::shared_ptr<SessionHost> host,
                             asio::io_context& io) {
  SpareDescriptor spare;
  absl::Time quiet_until = absl::InfinitePast();
  while (!host->draining) {
    auto [error, socket] = co_await acceptor.async_accept(asio::make_strand(io), kAsTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, or the client left before it was accepted
      if (error == boost::system::errc::too_many_files_open ||
          error == boost::system::errc::too_many_files_open_in_system) {
        const absl::Time now = absl::Now();
        if (now >= quiet_until) {
          serving::LogLine("http.no_descriptors", serving::LogLevel::kWarning)
              .Int("connections", Count(*host))
              .Str("error", error.message());
          quiet_until = now + absl::Minutes(1);
        }
        if (TurnAwayWithoutDescriptors(acceptor, spare)) continue;
      }
      asio::steady_timer pause(io, std::chrono::milliseconds(50));
      co_await pause.async_wait(kAsTuple);
      continue;
    }
    if (Count(*host) >= host->options.max_connections) {
      TurnAway(std::move(socket));
      continue;
    }
    StartSession(std::move(socket), host);
  }
}

}  // namespace

struct Server::Shared : SessionHost {
  Shared(asio::io_context& io, const Router& router, ServerOptions options)
      : SessionHost(router, std::move(options)), io(io), acceptor(asio::make_strand(io)) {}

  asio::io_context& io;
  tcp::acceptor acceptor;  // used on its strand once Start has returned
  std::uint16_t port = 0;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(asio::io_context& io, const Router& router,
                                                      ServerOptions options) {
  auto shared = std::make_shared<Shared>(io, router, std::move(options));
  const std::string& bind = shared->options.bind;
  boost::system::error_code error;
  const auto address = asio::ip::make_address(bind, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", bind, "' is not an IP address to listen on (try 127.0.0.1, or 0.0.0.0 for all)"));
  }
  const tcp::endpoint endpoint(address, shared->options.port);
  tcp::acceptor& acceptor = shared->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (!error) acceptor.non_blocking(true, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ",
                                               text::JoinHostPort(bind, shared->options.port), ": ",
                                               error.message()));
  }
  shared->port = acceptor.local_endpoint().port();
  asio::co_spawn(
      acceptor.get_executor(),
      [shared]() -> asio::awaitable<void> {
        co_await Accept(shared->acceptor, shared, shared->io);
      },
      asio::detached);
  return std::unique_ptr<Server>(new Server(std::move(shared)));
}

Server::Server(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

Server::~Server() = default;

std::uint16_t Server::port() const { return shared_->port; }

int Server::connections() const { return Count(*shared_); }

void Server::StopKeepingConnections() { shared_->keeps_connections = false; }

bool Server::Drain(std::chrono::milliseconds deadline) {
  StopKeepingConnections();
  shared_->draining = true;
  asio::post(shared_->acceptor.get_executor(), [shared = shared_] {
    boost::system::error_code ignored;
    shared->acceptor.close(ignored);
  });
  std::unique_lock lock(shared_->mutex);
  for (const auto& session : shared_->sessions) session->CloseIfIdle();
  const auto none_left = [this] { return shared_->sessions.empty(); };
  if (shared_->session_ended.wait_for(lock, deadline, none_left)) return true;
  for (const auto& session : shared_->sessions) session->Close();
  shared_->session_ended.wait_for(lock, std::chrono::seconds(5), none_left);
  return false;
}

}  // namespace gateway::http
