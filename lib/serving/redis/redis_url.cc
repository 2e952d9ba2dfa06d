#include "serving/redis/redis_url.h"

#include <absl/status/status.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "text/authority.h"

namespace serving {
namespace {

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      std::string(what), "; needed: redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]"));
}

}  // namespace

std::string RedisUrl::Address() const { return text::JoinHostPort(host, port); }

absl::StatusOr<RedisUrl> ParseRedisUrl(std::string_view url) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) return Wrong("the text is not a URL (special characters need percent-encoding)");
  const std::string scheme = parsed->scheme();
  if (scheme == "rediss") {
    return Wrong("rediss:// (TLS) is not supported: put a TLS tunnel such as stunnel in between");
  }
  if (scheme != "redis") return Wrong(absl::StrCat("the scheme is ", scheme, "://"));

  RedisUrl result;
  result.host = parsed->host_address();
  if (result.host.empty()) return Wrong("the host is missing");
  if (parsed->has_port()) {
    result.port = parsed->port_number();
    if (result.port == 0) return Wrong("the port is no number from 1 to 65535");
  }
  result.user = parsed->user();
  result.password = parsed->password();
  if (!result.user.empty() && result.password.empty()) return Wrong("a user is given, no password");

  const std::string path = parsed->path();
  // Boost.URL 1.81 reads "10.0.0.5.example.org" as an address with a path behind it.
  if (!path.empty() && path.front() != '/') {
    return Wrong(absl::StrCat("the host is the address ", result.host,
                              " with more behind it; give the address or another name"));
  }
  if (path.size() > 1) {
    const std::string database = path.substr(1);
    if (!absl::SimpleAtoi(database, &result.database) || result.database < 0) {
      return Wrong(absl::StrCat("the database is '", database, "', not a number"));
    }
  }
  if (parsed->has_query() || parsed->has_fragment()) return Wrong("a query follows the database");
  return result;
}

}  // namespace serving
