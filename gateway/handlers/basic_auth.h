// Checks HTTP basic authentication (RFC 7617) without telling by its duration how much was right.
#ifndef DUET_GATEWAY_HANDLERS_BASIC_AUTH_H_
#define DUET_GATEWAY_HANDLERS_BASIC_AUTH_H_

#include <array>
#include <string_view>

namespace gateway::handlers {

class BasicAuth {
 public:
  BasicAuth(std::string_view user, std::string_view password);

  // `authorization`: the header's value. Thread-safe.
  bool Accepts(std::string_view authorization) const;

 private:
  std::array<unsigned char, 32> digest_;  // SHA-256 of "user:password"
};

}  // namespace gateway::handlers

#endif  // DUET_GATEWAY_HANDLERS_BASIC_AUTH_H_
