#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <string>
#include <string_view>
#include <utility>

#include "http_client/s3_access.h"
#include "http_client/transfer.h"
#include "http_client/url.h"
#include "image_fetch/download.h"
#include "image_fetch/http_get.h"
#include "image_fetch/sources.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

class S3Source final : public ImageSource {
 public:
  explicit S3Source(http_client::S3Access s3) : s3_(std::move(s3)) {}

  std::string_view name() const override { return "s3"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest&) const override {
    if (!s3_.enabled() || !absl::StartsWithIgnoreCase(text::View(uri.text), "s3://")) {
      return std::nullopt;
    }
    return ImageLocation{
        .address = std::string(uri.text), .cache_key = CacheKey(name(), uri.text), .lane = "s3"};
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    const absl::StatusOr<std::string> url = http_client::S3Url(s3_, download->location.address);
    if (!url.ok()) co_return url.status();
    http_client::HttpRequest request = MakeImageRequest(*download, context, *url);
    request.trusted = !s3_.endpoint.empty();  // the operator's own choice
    request.sign_for = &s3_;
    auto performing = context.loop.Perform(std::move(request), &download->exchange);
    absl::StatusOr<http_client::HttpResponse> response = co_await std::move(performing);
    if (!response.ok()) co_return response.status();
    const std::string& uri = download->request.uri;
    const std::string shown = http_client::RedactUri(uri);
    const std::string& region = response->bucket_region;
    if ((IsRedirect(response->status) || response->status == 400) && !region.empty() &&
        region != s3_.region) {
      co_return absl::FailedPreconditionError(text::StrCat(shown, " is in the region ", region,
                                                           ", the gateway asks in ", s3_.region,
                                                           "; set AWS_REGION"));
    }
    if (response->status == 401 || response->status == 403) {
      co_return absl::PermissionDeniedError(
          text::StrCat(shown, ": the storage refuses the gateway's keys with ", response->status,
                       "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"));
    }
    co_return TakeImage(*download, uri, *std::move(response));
  }

 private:
  const http_client::S3Access s3_;
};

}  // namespace

std::unique_ptr<ImageSource> MakeS3Source(http_client::S3Access s3) {
  return std::make_unique<S3Source>(std::move(s3));
}

}  // namespace image_fetch
