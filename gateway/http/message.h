// One HTTP request and its answer as plain values, so that a handler can be called without a
// socket.
//
// Bodies are whole: the session has read and bounded a request's body before a handler sees it. The
// router and its gate decide before that, from the header alone.
// Errors are JSON objects with one key, {"error": "one sentence"}.
#ifndef DUET_GATEWAY_HTTP_MESSAGE_H_
#define DUET_GATEWAY_HTTP_MESSAGE_H_

#include <absl/status/status.h>

#include <boost/asio/ip/address.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/http/byte_budget.h"
#include "serving/request_context.h"

namespace gateway::http {

// Movable, not copyable.
struct Request {
  boost::beast::http::verb method = boost::beast::http::verb::get;
  // As sent, still percent-encoded, without the query: "/p/street/health".
  std::string path;
  // Behind the '?', still percent-encoded; empty if there is none.
  std::string query;
  boost::beast::http::fields headers = {};
  std::string body = {};
  ByteLease memory = {};  // what `body` takes of the server's budget

  // The header's value, or "".
  std::string_view Header(std::string_view name) const;
  // A body that was parsed need not stay while its request is worked at.
  void DropBody();
};

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string error = {};  // what the body says went wrong, for the log
};

// Valid UTF-8 whatever bytes the strings in `body` hold.
Response JsonResponse(const boost::json::value& body, int status = 200);
// `sentence` reaches the client: no paths, no stack traces.
Response ErrorResponse(int status, std::string_view sentence);
// The one table from status codes to HTTP. UNAVAILABLE and RESOURCE_EXHAUSTED carry Retry-After.
// REQUIRES: !status.ok().
Response ErrorResponse(const absl::Status& status);

// What is known of a request besides its bytes, and what its handler wants logged. Lives until the
// answer is written; used from the session's strand only.
struct Context {
  explicit Context(std::string_view request_id = {}, std::string_view traceparent = {})
      : request(request_id, traceparent) {}

  // Its id is returned with the answer and sent upstream.
  serving::RequestContext request;
  // The pattern that matched, "/predict"; bounds the cardinality of metrics. "" if none did.
  std::string route;
  // What came before the pattern: "" or "/p/street".
  std::string prefix;
  // Where the connection comes from: the client, or a proxy before it.
  boost::asio::ip::address peer = {};
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_MESSAGE_H_
