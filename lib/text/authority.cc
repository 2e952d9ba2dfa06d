#include "text/authority.h"

#include <absl/strings/ascii.h>
#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>

#include "text/str_cat.h"

namespace text {
namespace {

// `family`: AF_INET or AF_INET6.
bool IsAddress(int family, std::string_view text) {
  in6_addr address;  // large enough for both
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

}  // namespace

std::optional<Authority> ParseAuthority(std::string_view text) {
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

  if (bracket > 0) {
    const std::string_view address = authority.host.substr(1, authority.host.size() - 2);
    if (bracket + 1 != end || !IsAddress(AF_INET6, address)) return std::nullopt;
    authority.is_address = true;
    return authority;
  }
  authority.is_address = IsAddress(AF_INET, authority.host);
  const auto fits = [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
  };
  if (!std::all_of(authority.host.begin(), authority.host.end(), fits)) return std::nullopt;
  return authority;
}

std::string JoinHostPort(std::string_view host, int port) {
  const bool bare_ipv6 = host.find(':') != host.npos && host.front() != '[';
  return bare_ipv6 ? StrCat("[", host, "]:", port) : StrCat(host, ":", port);
}

}  // namespace text
