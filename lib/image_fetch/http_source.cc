#include <absl/status/status.h>

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

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest&) const override {
    if (!HasHttpScheme(uri.text)) return std::nullopt;
    const auto parsed = uri.url ? text::SplitHttpUrl(*uri.url) : std::nullopt;
    if (!parsed) {
      return absl::InvalidArgumentError(
          text::StrCat("'", http_client::RedactUri(uri.text), "' is not a valid URL"));
    }
    if (parsed->authority.has_userinfo) {
      return absl::InvalidArgumentError(
          text::StrCat("'", http_client::RedactUri(uri.text),
                       "' has a user name or password in it, which is not accepted"));
    }
    ImageLocation location{.address = *uri.url};
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
