// The page at /ui: GET /ui and its files, and who is led there.
#ifndef DUET_GATEWAY_ENDPOINTS_UI_PAGE_H_
#define DUET_GATEWAY_ENDPOINTS_UI_PAGE_H_

#include <optional>

#include "gateway/http/message.h"

namespace gateway::endpoints {

// Leads a browser that shows what it gets to its user to the page; nothing for programs, which get
// JSON. For a request of "/" or "/p/NAME".
std::optional<http::Response> LeadToPage(const http::Request& request);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_UI_PAGE_H_
