// Whether a web page somewhere else made somebody's browser send a request.
//
// A browser sends requests to a server on this machine on behalf of any page that its user looks
// at, and says so in the fields Origin and Sec-Fetch-Site. Programs such as Label Studio send
// neither. A page of the server's own has the server's address as its origin. A name that was made
// to resolve to this machine (DNS rebinding) looks just like that, so the name must be known, too:
// an IP address, localhost, or one that the operator has named.
#ifndef DUET_GATEWAY_HTTP_CROSS_SITE_H_
#define DUET_GATEWAY_HTTP_CROSS_SITE_H_

#include <optional>
#include <string>
#include <vector>

#include "gateway/http/message.h"

namespace gateway::http {

struct OwnNames {
  // In lower case, without a port.
  std::vector<std::string> names;
  // Other names are believed, too.
  bool any = false;
};

// `names` as the operator gave them (upper case and ports are taken off) for a server that listens
// on `bind`. Without names, a server that is reached from elsewhere believes any, as its own is not
// known; one that listens on loopback alone believes none.
OwnNames OwnNamesOf(const std::vector<std::string>& names, const std::string& bind);

// One sentence, or nothing if no browser has sent the request or a page of the server's own has.
std::optional<std::string> CrossSiteFault(const Request& request, const OwnNames& own);

// Whether the request's Host is a name that a browser of this machine has for it beyond doubt: an
// IP address, localhost, or one of `own`'s names; not any other one, even if `own` believes any.
// For what is only read, which a page at a name that leads here could read, too.
bool IsCalledByOwnName(const Request& request, const OwnNames& own);

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_CROSS_SITE_H_
