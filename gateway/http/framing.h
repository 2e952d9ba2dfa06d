// Where a request ends, as RFC 9112 wants it read (sections 3.2 and 6.3).
//
// Two servers in a row that disagree about a body's end take part of it for another request. So
// what leaves room for two opinions is no request at all, and its connection is closed.
#ifndef DUET_GATEWAY_HTTP_FRAMING_H_
#define DUET_GATEWAY_HTTP_FRAMING_H_

#include <boost/beast/http/fields.hpp>
#include <optional>
#include <string>

namespace gateway::http {

// One sentence about what is wrong with the fields Host, Transfer-Encoding and Content-Length of a
// request, or nothing. `version`: 10 or 11.
std::optional<std::string> FramingFault(const boost::beast::http::fields& fields, unsigned version);

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_FRAMING_H_
