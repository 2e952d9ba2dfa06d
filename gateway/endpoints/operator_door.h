// Who may see what becomes of people's projects, and decide about it, where nobody is asked for a
// password: this machine alone, called by an address of its own, as localhost, or by a name that
// the operator has given it (--allowed_hosts). A web page whose name leads to this machine has
// another name; of what it only reads, a browser says nothing else (no Origin).
#ifndef DUET_GATEWAY_ENDPOINTS_OPERATOR_DOOR_H_
#define DUET_GATEWAY_ENDPOINTS_OPERATOR_DOOR_H_

#include <optional>

#include "gateway/http/cross_site.h"
#include "gateway/http/message.h"

namespace gateway::endpoints {

// 403 for who isn't at this machine, or comes through a proxy; nothing if the request may pass.
std::optional<http::Response> RefuseElsewhere(const http::Request& request,
                                              const http::Context& context,
                                              const http::OwnNames& own);

// 403 for a request from this machine that calls it by a name that isn't its own; nothing for all
// others, wherever they come from.
std::optional<http::Response> RefuseOtherName(const http::Request& request,
                                              const http::Context& context,
                                              const http::OwnNames& own);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_OPERATOR_DOOR_H_
