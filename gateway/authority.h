// What names a server in a URL and in a Host field: [USER@]HOST[:PORT].
//
// Not read by Boost.URL: 1.81 takes "10.0.0.5.example.org" for the address 10.0.0.5 with a path
// behind it, so that a stranger's host passes for one at that address.
#ifndef DUET_GATEWAY_AUTHORITY_H_
#define DUET_GATEWAY_AUTHORITY_H_

#include <absl/strings/ascii.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// Parts of the text that was parsed.
struct Authority {
  std::string_view host;  // may be empty; an IPv6 address in its brackets
  std::string_view port;  // digits; "" if there is none
  bool is_address = false;
  bool has_userinfo = false;
};

// Nothing if the text is not of that form. International names must be encoded.
inline std::optional<Authority> ParseAuthority(std::string_view text) {
  Authority authority;
  if (const std::size_t at = text.rfind('@'); at != text.npos) {
    authority.has_userinfo = true;
    text.remove_prefix(at + 1);
  }
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == text.npos) return std::nullopt;
  const std::size_t end = std::min(text.find(':', bracket), text.size());
  authority.host = text.substr(0, end);
  if (end < text.size()) authority.port = text.substr(end + 1);
  const auto is_digit = [](unsigned char c) { return absl::ascii_isdigit(c); };
  if (!std::all_of(authority.port.begin(), authority.port.end(), is_digit)) return std::nullopt;

  boost::system::error_code error;
  if (bracket > 0) {
    const std::string_view address = authority.host.substr(1, authority.host.size() - 2);
    if (bracket + 1 != end || address.find('%') != address.npos) return std::nullopt;
    boost::asio::ip::make_address_v6(std::string(address), error);
    authority.is_address = !error;
    return error ? std::nullopt : std::optional(authority);
  }
  boost::asio::ip::make_address_v4(std::string(authority.host), error);
  authority.is_address = !error;
  const auto fits = [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
  };
  if (!std::all_of(authority.host.begin(), authority.host.end(), fits)) return std::nullopt;
  return authority;
}

}  // namespace gateway

#endif  // DUET_GATEWAY_AUTHORITY_H_
