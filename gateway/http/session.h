// One connection: reads requests, runs their handlers, writes the answers. Internal to
// gateway_http.
#ifndef DUET_GATEWAY_HTTP_SESSION_H_
#define DUET_GATEWAY_HTTP_SESSION_H_

#include <absl/container/flat_hash_set.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "gateway/http/byte_budget.h"
#include "gateway/http/server.h"

namespace gateway::http {

class Session {
 public:
  virtual ~Session() = default;
  // Both from any thread. Closes the connection if no request is being read or answered on it.
  virtual void CloseIfIdle() = 0;
  // Closes it now; a handler that runs is cancelled.
  virtual void Close() = 0;
};

// What the listener and all sessions share.
struct SessionHost {
  SessionHost(const Router& router, ServerOptions options)
      : router(router),
        options(std::move(options)),
        memory(std::make_shared<ByteBudget>(this->options.request_memory_bytes)),
        memory_for_anybody(
            std::make_shared<ByteBudget>(this->options.request_memory_bytes / 4, memory)) {}

  const Router& router;
  const ServerOptions options;
  const std::shared_ptr<ByteBudget> memory;              // for bodies and what is parsed of them
  const std::shared_ptr<ByteBudget> memory_for_anybody;  // of it, BodyLimits::from_anybody
  std::atomic<bool> keeps_connections = true;
  std::atomic<bool> draining = false;

  // Standard, not Abseil's: Debian's Abseil is not instrumented for TSan.
  std::mutex mutex;
  std::condition_variable session_ended;
  absl::flat_hash_set<std::shared_ptr<Session>> sessions;  // guarded by mutex
};

// Serves the connection to its end, registered with `host` from now until then. `socket`'s executor
// is the connection's strand. Returns at once.
void StartSession(boost::asio::ip::tcp::socket socket, std::shared_ptr<SessionHost> host);

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_SESSION_H_
