// URLs as text. Whoever opens a connection asks the library that opens it for the host
// (http_client/url.h); this is for deciding what a URL is, and for writing one.
#ifndef DUET_TEXT_URL_H_
#define DUET_TEXT_URL_H_

#include <optional>
#include <string>
#include <string_view>

#include "text/authority.h"

namespace text {

// An absolute http(s) URL as it is written, in parts of its text.
struct HttpUrl {
  bool https = false;
  Authority authority;      // its host is not empty
  std::string_view target;  // path and query; "", or begins with '/' or '?'
};

// None for anything else, and if EscapePath would change the target. The fragment is left out.
std::optional<HttpUrl> SplitHttpUrl(std::string_view url);

// A path and query with what people write unescaped percent-encoded, as python-requests does it:
// spaces, letters beyond ASCII, quotes, brackets, `|` and a `%` that escapes nothing. What is
// escaped already stays so: "/data/a b.jpg?x=[1]" gives "/data/a%20b.jpg?x=%5B1%5D".
std::string EscapePath(std::string_view path);

// "a%20b" to "a b"; a % without two hexadecimal digits stays. `plus_is_space`: as in queries.
std::string PercentDecode(std::string_view text, bool plus_is_space);

// All but letters, digits, "-._~" and the characters of `keep` as %XX.
std::string PercentEncode(std::string_view text, std::string_view keep);

// "http://host/a//" to "http://host/a".
std::string_view WithoutTrailingSlashes(std::string_view url_or_path);

}  // namespace text

#endif  // DUET_TEXT_URL_H_
