// URLs as they stand in tasks, made fit to be sent.
//
// libcurl opens the connections, so its reading of a URL is the one that counts: host and port come
// from it, and what is decided about them is decided about the host that is asked.
#ifndef DUET_HTTP_CLIENT_URL_H_
#define DUET_HTTP_CLIENT_URL_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace http_client {

struct UrlParts {
  std::string scheme;  // "http" or "https"
  std::string host;    // in lower case, ASCII (an international name encoded), no brackets
  int port = 0;        // the scheme's if the URL has none
};

// Of an absolute http(s) URL. InvalidArgument, without the URL in its message, for anything else.
absl::StatusOr<UrlParts> ParseUrl(const std::string& url);

// An http(s) URL with what people write unescaped, as python-requests sends it: path and query as
// text::EscapePath writes them, an international host name encoded (IDNA), no fragment. A URL that
// needs none of this comes back as it is. InvalidArgument, without the URL in its message, if the
// host is not one.
absl::StatusOr<std::string> NormalizeUrl(std::string_view url);

// "http://host:80" of a URL: scheme, host in lower case, port always there. "" if it isn't an
// http(s) URL.
std::string Origin(std::string_view url);

// For logs and errors: scheme, host and path, without credentials and fragment; data URIs only
// their type; about 200 bytes at most, and valid UTF-8. Of a query, which may have a signature or
// token, only the fields by which images are told apart are kept: `d` of Label Studio's
// /data/local-files/, and file, filename, filepath, image, path and id of any address.
std::string RedactUri(std::string_view uri);

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_URL_H_
