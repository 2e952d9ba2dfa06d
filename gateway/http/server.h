// An HTTP/1.1 server on Asio coroutines: a listener and one session a connection.
//
// Each connection has a strand; requests on it are answered one after the other. No thread belongs
// to a connection or a request: whoever runs the io_context lends its threads. Against clients that
// are slow, large or many there are limits, all in ServerOptions; what exceeds one gets an answer
// (400, 413, 431, 503) where that is possible, and is cut off where it isn't. What a request's
// header decides (its route, the gate's refusal, a body too large) is answered before its body is
// read, and before a client that asks (Expect: 100-continue) is told to send it.
#ifndef DUET_GATEWAY_HTTP_SERVER_H_
#define DUET_GATEWAY_HTTP_SERVER_H_

#include <absl/status/statusor.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "gateway/http/message.h"
#include "gateway/http/router.h"

namespace gateway::http {

// How one request ended, for logs and metrics.
struct AccessRecord {
  // Of the answer; 499 if the client went away before there was one.
  int status = 0;
  std::string error;                              // Response's
  std::size_t request_bytes = 0;                  // of the body
  std::size_t response_bytes = 0;                 // of the body
  std::chrono::steady_clock::duration elapsed{};  // from the header's last byte to the answer's
};

struct ServerOptions {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  // Connections open at once; further ones get 503 and are closed.
  int max_connections = 1024;
  std::size_t max_header_bytes = 16 << 10;  // beyond: 431
  std::size_t max_body_bytes = 64 << 20;    // beyond, or beyond the route's own limit: 413
  // Of the bodies of all connections and what is parsed of them (byte_budget.h); beyond: 503. A
  // quarter of it is there for bodies that anybody may send (BodyLimits).
  std::size_t request_memory_bytes = 256 << 20;
  // A connection without a request is closed after this.
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(75);
  // For all of a header, for all of a body, for all of an answer.
  std::chrono::milliseconds header_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds body_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds write_timeout = std::chrono::seconds(60);
  // Null: no TLS. Called for each connection, on any io thread; never returns null.
  std::function<std::shared_ptr<boost::asio::ssl::context>()> tls;
  // Called once per request that had a readable header, on its strand.
  std::function<void(const Request&, const Context&, const AccessRecord&)> on_finished;
  // Called with +1 and -1 as connections come and go, on any io thread.
  std::function<void(int change)> on_connection;
};

class Server {
 public:
  // Binds and starts to accept on `io`. `router` and `io` outlive the server. Unavailable if the
  // address can't be bound (port in use), InvalidArgument if it isn't one.
  static absl::StatusOr<std::unique_ptr<Server>> Start(boost::asio::io_context& io,
                                                       const Router& router, ServerOptions options);
  // Cuts off what is left; REQUIRES: nobody runs the io_context any more, or Drain has returned
  // true.
  ~Server();

  std::uint16_t port() const;
  // Connections open now.
  int connections() const;

  // From now on every answer says `Connection: close`; new connections are still served. Some time
  // before Drain, this has clients leave by themselves: one that keeps a connection may send its
  // next request in the very moment in which Drain closes what is idle, and would lose it.
  void StopKeepingConnections();

  // Stops accepting, closes idle connections, lets requests in flight finish with `Connection:
  // close`, and waits for them. False if some were cut off at the deadline. Blocks the caller,
  // which must not be an io thread; idempotent.
  bool Drain(std::chrono::milliseconds deadline);

 private:
  struct Shared;
  explicit Server(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_SERVER_H_
