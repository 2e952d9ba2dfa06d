#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <string>
#include <string_view>
#include <utility>

#include "http_client/url.h"
#include "image_fetch/download.h"
#include "image_fetch/http_get.h"
#include "image_fetch/sources.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace image_fetch {
namespace {

class HttpSource final : public ImageSource {
 public:
  std::string_view name() const override { return "http"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(std::string_view uri,
                                                      const ImageRequest&) const override {
    if (!absl::StartsWithIgnoreCase(text::View(uri), "http://") &&
        !absl::StartsWithIgnoreCase(text::View(uri), "https://")) {
      return std::nullopt;
    }
    absl::StatusOr<std::string> url = http_client::NormalizeUrl(uri);
    const std::optional<text::HttpUrl> parsed = url.ok() ? text::SplitHttpUrl(*url) : std::nullopt;
    if (!parsed) {
      return absl::InvalidArgumentError(
          text::StrCat("'", http_client::RedactUri(uri), "' is not a valid URL"));
    }
    if (parsed->authority.has_userinfo) {
      return absl::InvalidArgumentError(
          text::StrCat("'", http_client::RedactUri(uri),
                       "' has a user name or password in it, which is not accepted"));
    }
    ImageLocation location{.address = *std::move(url)};
    location.cache_key = CacheKey(name(), location.address);
    location.lane = http_client::Origin(location.address);
    return location;
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    std::string url = download->location.address;
    return GetImage(std::move(download), context, std::move(url), {});
  }
};

}  // namespace

std::unique_ptr<ImageSource> MakeHttpSource() { return std::make_unique<HttpSource>(); }

}  // namespace image_fetch
