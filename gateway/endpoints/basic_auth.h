// Checks HTTP basic authentication (RFC 7617) without telling by its duration how much was right.
#ifndef DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_
#define DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_

#include <string_view>

namespace gateway::endpoints {

// `authorization`: the header's value. Thread-safe.
bool AcceptsBasicAuth(std::string_view authorization, std::string_view user,
                      std::string_view password);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_
