// What names a server in a URL and in a Host field: [USER@]HOST[:PORT].
//
// Not read by Boost.URL: version 1.81 takes "10.0.0.5.example.org" for the address 10.0.0.5 with a
// path behind it, so that a stranger's host passes for one at that address.
#ifndef DUET_TEXT_AUTHORITY_H_
#define DUET_TEXT_AUTHORITY_H_

#include <optional>
#include <string>
#include <string_view>

namespace text {

// Parts of the text that was parsed.
struct Authority {
  std::string_view host;  // may be empty; an IPv6 address in its brackets
  std::string_view port;  // digits; "" if there is none
  bool is_address = false;
  bool has_userinfo = false;
};

// None if the text is not of that form. International names must be encoded.
std::optional<Authority> ParseAuthority(std::string_view text);

// "127.0.0.1:80"; an IPv6 address gets its brackets, if it hasn't got them: "[::1]:80".
std::string JoinHostPort(std::string_view host, int port);

}  // namespace text

#endif  // DUET_TEXT_AUTHORITY_H_
