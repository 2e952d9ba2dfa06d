#include "image_fetch/sources.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http_client/url.h"
#include "label_studio_api/label_studio_site.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace image_fetch {
namespace {

ImageUri ReadUri(std::string_view uri, const label_studio_api::LabelStudioSite& site) {
  ImageUri read{.text = uri, .url = {}, .label_studio_path = {}};
  if (uri.starts_with('/') && !uri.starts_with("//")) {
    const std::string escaped = text::EscapePath(uri.substr(0, uri.find('#')));
    read.label_studio_path = std::string(label_studio_api::WithoutSitePath(site, escaped));
  } else if (HasHttpScheme(uri)) {
    absl::StatusOr<std::string> url = http_client::NormalizeUrl(uri);
    if (!url.ok()) return read;
    read.label_studio_path = label_studio_api::PathOnSite(site, *url);
    read.url = *std::move(url);
  }
  return read;
}

}  // namespace

bool HasHttpScheme(std::string_view uri) {
  return absl::StartsWithIgnoreCase(text::View(uri), "http://") ||
         absl::StartsWithIgnoreCase(text::View(uri), "https://");
}

absl::StatusOr<ImageLocation> Locate(const ImageSources& sources, const ImageRequest& request) {
  const std::string_view text = text::StdView(absl::StripAsciiWhitespace(text::View(request.uri)));
  if (text.empty()) return absl::InvalidArgumentError("the image's address is empty");
  const ImageUri uri = ReadUri(text, request.label_studio);
  for (const std::unique_ptr<ImageSource>& source : sources) {
    absl::StatusOr<std::optional<ImageLocation>> location = source->Locate(uri, request);
    if (!location.ok()) return location.status();
    if (!*location) continue;
    (*location)->source = source.get();
    return **std::move(location);
  }
  return absl::InvalidArgumentError(
      text::StrCat("'", http_client::RedactUri(text),
                   "' is not an address that can be fetched; known: ", kKnownForms));
}

}  // namespace image_fetch
