// A Label Studio as one request may use it: where connections go, under which other names its URLs
// appear in tasks, which token goes there, and whether the operator named it.
//
// The four are apart because they come from different people. The operator's flags are believed;
// what /setup says is said by anybody (docs/security.md). label_studio_choice.h decides
// which site a request gets; here is what a site permits.
#ifndef DUET_LABEL_STUDIO_API_LABEL_STUDIO_SITE_H_
#define DUET_LABEL_STUDIO_API_LABEL_STUDIO_SITE_H_

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/secret.h"

namespace label_studio_api {

struct LabelStudioSite {
  // As ParseSiteUrl gives it, "http://host:8080" or with a path; "" if there is none.
  std::string url;
  // What Label Studio calls itself, in the same form. For rewriting only: no connection goes there.
  std::vector<std::string> aliases;
  // Legacy token, or JWT personal access token (exchanged and refreshed). Null: none.
  std::shared_ptr<const serving::Secret> token;
  // The operator named `url`, so it may be at any address. Otherwise the address policy holds.
  bool trusted = false;

  // "" if there is none.
  std::string Token() const { return token == nullptr ? "" : token->value(); }
};

// The address of a Label Studio in one form: http or https, host in lower case, no default port, no
// slash at the end. InvalidArgument, without any credentials, unless it is such a URL of at most
// 1024 characters without user name, query, fragment and dot segments.
absl::StatusOr<std::string> ParseSiteUrl(std::string_view text);

// What a request to `url` may use of the site.
struct Permit {
  bool on_site = false;  // scheme, host and port are the site's
  bool trusted = false;  // any address will do
  bool token = false;
};
// The token goes to Label Studio's own image paths below its URL: /data/, /storage-data/, /static/
// and the resolve and presign of tasks and projects. Not to its API, whose GETs may cost or change
// something, and not to whatever else is on the same host. A URL with a user name gets nothing.
Permit PermitFor(const LabelStudioSite& site, std::string_view url);

// Why an address of a site is refused that the operator didn't name: PermissionDenied, with the
// flag that would help.
absl::Status NotNamed(const LabelStudioSite& site);

// The path of an escaped `url` below the site ("/data/…", with its query), if it is below the
// site's URL, or one of the own paths below an alias.
std::optional<std::string> PathOnSite(const LabelStudioSite& site, std::string_view url);

// An escaped relative path without the path that the site or an alias is below:
// "/label-studio/data/x" to "/data/x".
std::string_view WithoutSitePath(const LabelStudioSite& site, std::string_view path);

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_LABEL_STUDIO_SITE_H_
