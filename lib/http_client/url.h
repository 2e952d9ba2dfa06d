// URLs as they stand in tasks, made fit to be sent.
//
// libcurl opens the connections, so its reading of a URL is the one that counts: host and port come
// from it, and what is decided about them is decided about the host that is asked.
#ifndef DUET_HTTP_CLIENT_URL_H_
#define DUET_HTTP_CLIENT_URL_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>

#include "text/authority.h"

namespace http_client {

struct UrlParts {
  std::string scheme;  // "http" or "https"
  std::string host;    // in lower case, ASCII (an international name encoded), no brackets
  int port = 0;        // the scheme's if the URL has none
};

// Of an absolute http(s) URL. InvalidArgument, without the URL in its message, for anything else.
absl::StatusOr<UrlParts> ParseUrl(const std::string& url);

// An absolute http(s) URL as it is written, in parts of its text.
struct SplitUrl {
  bool https = false;
  text::Authority authority;  // its host is not empty
  std::string_view target;    // path and query; "", or begins with '/' or '?'
};

// Nothing for anything else, and for what NormalizeUrl would escape.
std::optional<SplitUrl> Split(std::string_view url);

// An http(s) URL with what people write unescaped, as python-requests sends it: spaces, letters
// beyond ASCII, quotes, brackets, `|` and a `%` that escapes nothing are percent-encoded in path
// and query, what is escaped already stays so; an international host name is encoded (IDNA); the
// fragment goes. A URL that is fit already comes back as it is, but for its fragment.
// InvalidArgument, without the URL in its message, if the host is not one.
absl::StatusOr<std::string> NormalizeUrl(std::string_view url);

// The same for a path and query ("/data/a b.jpg?x=[1]").
std::string EscapePath(std::string_view path);

// "http://host:80" of a URL: scheme, host in lower case, port always there. "" if it isn't an
// http(s) URL.
std::string Origin(std::string_view url);

// For logs and errors: scheme, host and path without query, credentials or fragment; data URIs only
// their type; about 200 bytes at most, and valid UTF-8.
std::string RedactUri(std::string_view uri);

// "a%20b" to "a b"; a % without two hexadecimal digits stays. `plus_is_space`: as in queries.
std::string PercentDecode(std::string_view text, bool plus_is_space);

// All but letters, digits and "-._~" and the characters of `keep` as %XX.
std::string PercentEncode(std::string_view text, std::string_view keep);

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_URL_H_
