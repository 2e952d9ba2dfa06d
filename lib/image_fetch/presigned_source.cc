#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>

#include <algorithm>
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

absl::StatusOr<std::string> PresignUrl(const ImageRequest& request) {
  const std::string shown = http_client::RedactUri(request.uri);
  if (request.label_studio.url.empty()) {
    return absl::FailedPreconditionError(
        text::StrCat(shown,
                     " is in an object store; start the gateway with --label_studio_url (and a "
                     "token), or for s3:// with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
  }
  if (request.task_id == 0) {
    return absl::FailedPreconditionError(
        text::StrCat(shown, " can only be had through Label Studio, which needs the task's id"));
  }
  // Label Studio wants the URL-safe alphabet with padding.
  std::string encoded = absl::Base64Escape(absl::StripAsciiWhitespace(request.uri));
  std::replace(encoded.begin(), encoded.end(), '+', '-');
  std::replace(encoded.begin(), encoded.end(), '/', '_');
  return text::StrCat(request.label_studio.url, "/tasks/", request.task_id,
                      "/presign/?fileuri=", text::PercentEncode(encoded, ""));
}

class PresignedSource final : public ImageSource {
 public:
  std::string_view name() const override { return "presigned"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest& request) const override {
    for (const char* scheme : {"s3://", "gs://", "azure-blob://"}) {
      if (!absl::StartsWithIgnoreCase(text::View(uri.text), scheme)) continue;
      // The task's project decides which storage is asked.
      return ImageLocation{
          .address = std::string(uri.text),
          .cache_key = CacheKey(name(), uri.text, request.label_studio, request.task_id),
          // Label Studio is asked where it is, not the store.
          .lane = http_client::Origin(request.label_studio.url)};
    }
    return std::nullopt;
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    absl::StatusOr<std::string> url = PresignUrl(download->request);
    if (!url.ok()) co_return url.status();
    auto getting = GetImage(
        std::move(download), context, *std::move(url),
        {.on_site = true,
         .not_found_remedy = "; connect a storage that has it to the project in Label Studio"});
    absl::StatusOr<LoadedImage> loaded = co_await std::move(getting);
    co_return loaded;
  }
};

}  // namespace

std::unique_ptr<ImageSource> MakePresignedSource() { return std::make_unique<PresignedSource>(); }

}  // namespace image_fetch
