#include "label_studio_api/label_studio_site.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <optional>

#include "http_client/url.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace label_studio_api {
namespace {

constexpr std::size_t kMaxUrl = 1024;

// Proxies resolve "." and ".." wherever the slashes came from.
bool HasDotSegments(std::string_view path) {
  std::string plain = text::PercentDecode(path.substr(0, path.find('?')), /*plus_is_space=*/false);
  std::replace(plain.begin(), plain.end(), '\\', '/');
  plain += '/';
  return plain.find("/./") != std::string::npos || plain.find("/../") != std::string::npos;
}

// Takes "/tasks/" and a number off the front of "/tasks/12/resolve/".
bool TakeNumbered(std::string_view folder, std::string_view* path) {
  if (!path->starts_with(folder)) return false;
  path->remove_prefix(folder.size());
  const std::size_t digits = std::min(path->find_first_not_of("0123456789"), path->size());
  path->remove_prefix(digits);
  return digits > 0;
}

bool IsOwnPath(std::string_view target) {
  std::string_view path = target.substr(0, target.find('?'));
  if (HasDotSegments(path)) return false;
  for (const std::string_view folder : {"/data/", "/storage-data/", "/static/"}) {
    if (path.starts_with(folder)) return true;
  }
  if (!TakeNumbered("/tasks/", &path) && !TakeNumbered("/projects/", &path)) return false;
  if (path.ends_with('/')) path.remove_suffix(1);
  return path == "/resolve" || path == "/presign";
}

// "/label-studio" of "http://public/label-studio".
std::string_view PathOf(std::string_view base) {
  const std::size_t host = base.find("://");
  const std::size_t slash = host == std::string_view::npos ? host : base.find('/', host + 3);
  return slash == std::string_view::npos ? "" : text::WithoutTrailingSlashes(base.substr(slash));
}

bool StartsWithPath(std::string_view target, std::string_view path) {
  if (!target.starts_with(path)) return false;
  const std::string_view rest = target.substr(path.size());
  return rest.empty() || rest.front() == '/' || rest.front() == '?';
}

// What stands behind `base` in the URL, if it is below.
std::optional<std::string> Below(std::string_view url, std::string_view base) {
  const std::string origin = http_client::Origin(base);
  if (origin.empty() || http_client::Origin(url) != origin) return std::nullopt;
  const std::optional<text::HttpUrl> parsed = text::SplitHttpUrl(url);
  if (!parsed || parsed->authority.has_userinfo) return std::nullopt;
  const std::string_view target = parsed->target;
  const std::string_view path = PathOf(base);
  if (!StartsWithPath(target, path)) return std::nullopt;
  if (!path.empty() && HasDotSegments(target)) return std::nullopt;
  return std::string(target.substr(path.size()));
}

}  // namespace

absl::StatusOr<std::string> ParseSiteUrl(std::string_view text) {
  const auto wrong = [&text](std::string_view why) {
    return absl::InvalidArgumentError(text::StrCat("'", http_client::RedactUri(text), "' ", why,
                                                   "; needed: http(s)://HOST[:PORT][/PATH]"));
  };
  if (text.size() > kMaxUrl) return wrong("has more than 1024 characters");
  const std::string_view bare = text::StdView(absl::StripAsciiWhitespace(text::View(text)));
  if (bare.find('#') != std::string_view::npos) return wrong("has a query or fragment");
  // As the URLs of tasks are, which are compared with it.
  const absl::StatusOr<std::string> normalized = http_client::NormalizeUrl(bare);
  const std::string stripped = normalized.ok() ? *normalized : "";
  const std::optional<text::HttpUrl> parsed = text::SplitHttpUrl(stripped);
  if (!parsed) return wrong("is not a URL");
  if (parsed->authority.has_userinfo) return wrong("has a user name or password in it");
  if (parsed->target.find('?') != std::string_view::npos) return wrong("has a query or fragment");
  const std::string_view port = parsed->authority.port;
  int port_number = 0;
  if (!port.empty() && (!absl::SimpleAtoi(text::View(port), &port_number) || port_number < 1 ||
                        port_number > 65535)) {
    return wrong("has no port from 1 to 65535");
  }
  if (HasDotSegments(parsed->target)) return wrong("has '.' or '..' in its path");
  std::string url = text::StrCat(parsed->https ? "https" : "http", "://",
                                 absl::AsciiStrToLower(text::View(parsed->authority.host)));
  if (!port.empty() && port != (parsed->https ? "443" : "80")) text::StrAppend(&url, ":", port);
  text::StrAppend(&url, PathOf(stripped));
  return url;
}

Permit PermitFor(const LabelStudioSite& site, std::string_view url) {
  Permit permit;
  if (site.url.empty() || http_client::Origin(url) != http_client::Origin(site.url)) return permit;
  const std::optional<text::HttpUrl> parsed = text::SplitHttpUrl(url);
  if (!parsed || parsed->authority.has_userinfo) return permit;
  permit.on_site = true;
  permit.trusted = site.trusted;
  const std::optional<std::string> path = Below(url, site.url);
  permit.token = path && IsOwnPath(*path);
  return permit;
}

absl::Status NotNamed(const LabelStudioSite& site) {
  return absl::PermissionDeniedError(text::StrCat(
      http_client::RedactUri(site.url),
      " is at a private address, and only /setup says that it is a Label Studio; if so, start "
      "the gateway with --label_studio_url=",
      http_client::RedactUri(site.url)));
}

std::optional<std::string> PathOnSite(const LabelStudioSite& site, std::string_view url) {
  if (site.url.empty()) return std::nullopt;
  if (std::optional<std::string> path = Below(url, site.url)) return path;
  for (const std::string& alias : site.aliases) {
    std::optional<std::string> path = Below(url, alias);
    if (path && IsOwnPath(*path)) return path;
  }
  return std::nullopt;
}

std::string_view WithoutSitePath(const LabelStudioSite& site, std::string_view path) {
  std::string_view longest = PathOf(site.url);
  if (!StartsWithPath(path, longest)) longest = "";
  for (const std::string& alias : site.aliases) {
    const std::string_view prefix = PathOf(alias);
    if (prefix.size() > longest.size() && StartsWithPath(path, prefix)) longest = prefix;
  }
  return path.substr(longest.size());
}

}  // namespace label_studio_api
