#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <utility>

#include "http_client/url.h"
#include "image_fetch/download.h"
#include "image_fetch/http_get.h"
#include "image_fetch/sources.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

class LabelStudioSource final : public ImageSource {
 public:
  std::string_view name() const override { return "label_studio"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest& request) const override {
    const label_studio_api::LabelStudioSite& site = request.label_studio;
    if (!uri.label_studio_path) return std::nullopt;
    if (site.url.empty()) {
      return absl::FailedPreconditionError(
          text::StrCat(http_client::RedactUri(uri.text),
                       " is on Label Studio, whose address is not known; start the "
                       "gateway with --label_studio_url"));
    }
    ImageLocation location{.address = text::StrCat(site.url, *uri.label_studio_path)};
    location.cache_key = CacheKey(name(), location.address, site, /*task_id=*/0);
    location.lane = http_client::Origin(location.address);
    return location;
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    std::string url = download->location.address;
    return GetImage(std::move(download), context, std::move(url), {.on_site = true});
  }
};

}  // namespace

std::unique_ptr<ImageSource> MakeLabelStudioSource() {
  return std::make_unique<LabelStudioSource>();
}

}  // namespace image_fetch
