#include "image_fetch/sources.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>

#include <optional>
#include <string_view>
#include <utility>

#include "http_client/url.h"
#include "text/str_cat.h"

namespace image_fetch {

absl::StatusOr<ImageLocation> Locate(const ImageSources& sources, const ImageRequest& request) {
  const std::string_view uri = text::StdView(absl::StripAsciiWhitespace(text::View(request.uri)));
  if (uri.empty()) return absl::InvalidArgumentError("the image's address is empty");
  for (const std::unique_ptr<ImageSource>& source : sources) {
    absl::StatusOr<std::optional<ImageLocation>> location = source->Locate(uri, request);
    if (!location.ok()) return location.status();
    if (!*location) continue;
    (*location)->source = source.get();
    return **std::move(location);
  }
  return absl::InvalidArgumentError(
      text::StrCat("'", http_client::RedactUri(uri),
                   "' is not an address that can be fetched; known: ", kKnownForms));
}

}  // namespace image_fetch
