#include "image_fetch/label_studio_path.h"

#include <absl/status/statusor.h>

#include "http_client/url.h"
#include "text/url.h"

namespace image_fetch {

bool IsRelativeUri(std::string_view uri) { return uri.starts_with('/') && !uri.starts_with("//"); }

std::optional<std::string> LabelStudioPath(std::string_view uri,
                                           const label_studio_api::LabelStudioSite& site) {
  if (IsRelativeUri(uri)) {
    const std::string escaped = text::EscapePath(uri.substr(0, uri.find('#')));
    return std::string(label_studio_api::WithoutSitePath(site, escaped));
  }
  const absl::StatusOr<std::string> url = http_client::NormalizeUrl(uri);
  return url.ok() ? label_studio_api::PathOnSite(site, *url) : std::nullopt;
}

}  // namespace image_fetch
