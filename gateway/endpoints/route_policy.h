// What each route asks of a request before its body is read: the one place that decides it.
//
// The gate (gate.h) refuses by this table and by the header alone; the session refuses a larger
// body with 413. docs/security.md explains the table to operators.
#ifndef DUET_GATEWAY_ENDPOINTS_ROUTE_POLICY_H_
#define DUET_GATEWAY_ENDPOINTS_ROUTE_POLICY_H_

#include <absl/types/span.h>

#include <boost/beast/http/verb.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/cross_site.h"
#include "gateway/http/message.h"

namespace gateway::endpoints {

struct RoutePolicy {
  boost::beast::http::verb method;
  std::string_view pattern;
  // Basic authentication, where the operator asks for it.
  bool needs_credentials = true;
  // Changes something or makes the models work: no web page of another site may cause it.
  bool changes_state = false;
  // Its body is JSON, and another Content-Type is refused: what a page elsewhere can send without
  // asking first (CORS, which is never granted) has one, or an Origin.
  bool takes_json = false;
  std::size_t max_body_bytes = 0;
  // Begins or ends a training, or tells of one to Label Studio, where there is a trainer: asks the
  // training door, too.
  bool trains = false;
  // Tells what people have annotated, read with the operator's token: asks the training door, too,
  // and without a password this machine has to be called by its own name (operator_door.h).
  bool tells_annotations = false;
  // Has the segmenter work through a whole project, read with the operator's token: asks the
  // training door, too.
  bool embeds = false;
  // Tells what people's projects are, what becomes of them and why their tasks fail, or decides
  // about it. Without a password it is for this machine alone (operator_door.h).
  bool for_operator = false;
};

// One row a route.
absl::Span<const RoutePolicy> RoutePolicies();

// Null if there is no such row. HEAD has GET's.
const RoutePolicy* PolicyOf(boost::beast::http::verb method, std::string_view pattern);

// 403 for a change that a web page elsewhere has caused; nothing if the request may pass.
std::optional<http::Response> RefuseCrossSite(const RoutePolicy& policy,
                                              const http::Request& request,
                                              const http::OwnNames& own);
// 415 for what says that it isn't JSON, where JSON is needed.
std::optional<http::Response> RefuseContentType(const RoutePolicy& policy,
                                                const http::Request& request);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_ROUTE_POLICY_H_
