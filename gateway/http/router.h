// From method and path to a handler.
//
// A pattern matches the end of a path: with a pattern "/health", both "/health" and
// "/p/street/health" match, and what came before is the request's prefix. The router's owner says
// which prefixes mean something. A segment "{name}" of a pattern matches any one segment.
//
// Nothing here looks at a body: a request finds its route, or is refused, before one is read.
#ifndef DUET_GATEWAY_HTTP_ROUTER_H_
#define DUET_GATEWAY_HTTP_ROUTER_H_

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/http/message.h"

namespace gateway::http {

// Runs on the session's strand; may suspend, may not block. The references live until it has
// finished; the request is the handler's to change. If the client hangs up, the coroutine is
// cancelled (terminal): its next co_await throws and the answer is dropped.
using Handler = std::function<boost::asio::awaitable<Response>(Request&, Context&)>;
// For answers that are at hand: can't suspend, hence never waits for anything.
using QuickHandler = std::function<Response(const Request&, Context&)>;

struct BodyLimits {
  // Of one body; beyond: 413.
  std::size_t max_bytes = std::numeric_limits<std::size_t>::max();
  // Anybody may send one, so all of them together have a part of the memory for requests, and what
  // others need is left.
  bool from_anybody = false;
};

// Called before the body is read; an answer refuses the request.
using Gate = std::function<std::optional<Response>(const Request&, const Context&)>;

struct Route {
  boost::beast::http::verb method;
  std::string pattern;
  std::variant<Handler, QuickHandler> handler;
  std::vector<std::string> segments;  // of `pattern`
  BodyLimits body = {};
  Gate gate = {};  // null: everything passes
};

class Router {
 public:
  // REQUIRES: `pattern` starts with '/'. HEAD is answered as GET without a body. Throws
  // std::logic_error after Seal: the route would have no gate and no limits.
  void Add(boost::beast::http::verb method, std::string_view pattern, Handler handler);
  void AddQuick(boost::beast::http::verb method, std::string_view pattern, QuickHandler handler);
  // Says whether a route may be reached behind a prefix; otherwise 404. Default: "" only.
  using PrefixRule = std::function<bool(std::string_view prefix, const Route& route)>;
  void set_prefix_rule(PrefixRule rule) { known_ = std::move(rule); }
  // Calls `change` for all routes: it may set their limits and their gates. From now on, none can
  // be added.
  void Seal(const std::function<void(Route&)>& change);

  // Fills in `context.route` and `context.prefix`, asks the route's gate, and returns the handler,
  // or else the answer: 404 for an unknown path, 405 with Allow for a known one, the gate's
  // refusal. The request's body isn't looked at.
  // Thread-safe once all routes are added; the route lives as long as the router.
  std::variant<const Route*, Response> Find(const Request& request, Context& context) const;

  // In the order in which they were added.
  const std::vector<Route>& routes() const { return routes_; }

 private:
  void AddRoute(boost::beast::http::verb method, std::string_view pattern,
                std::variant<Handler, QuickHandler> handler);

  std::vector<Route> routes_;
  bool sealed_ = false;
  PrefixRule known_ = [](std::string_view prefix, const Route&) { return prefix.empty(); };
};

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_ROUTER_H_
