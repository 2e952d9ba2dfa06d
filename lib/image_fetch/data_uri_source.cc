#include <absl/status/status.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "image_fetch/download.h"
#include "image_fetch/read_image.h"
#include "image_fetch/sources.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace image_fetch {
namespace {

// InvalidArgument if it has no comma, is not base64, or holds more than `max_bytes`.
absl::StatusOr<std::string> DecodeDataUri(std::string_view uri, std::int64_t max_bytes) {
  const std::size_t comma = uri.find(',');
  if (comma == std::string_view::npos) {
    return absl::InvalidArgumentError("the data URI has no comma before its content");
  }
  const std::string_view kind = uri.substr(0, comma);
  const bool base64 = absl::EndsWithIgnoreCase(text::View(kind), ";base64");
  const std::string_view content = uri.substr(comma + 1);
  // Each byte takes at most three characters, in base64 at least four thirds.
  if (static_cast<std::int64_t>(content.size()) / 4 > max_bytes) {
    return absl::InvalidArgumentError(
        text::StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  std::string bytes = text::PercentDecode(content, /*plus_is_space=*/false);
  if (base64) {
    std::string decoded;
    if (!absl::Base64Unescape(bytes, &decoded) && !absl::WebSafeBase64Unescape(bytes, &decoded)) {
      return absl::InvalidArgumentError("the data URI's content is not base64");
    }
    bytes = std::move(decoded);
  }
  if (static_cast<std::int64_t>(bytes.size()) > max_bytes) {
    return absl::InvalidArgumentError(
        text::StrCat("the data URI is larger than the limit of ", max_bytes, " bytes"));
  }
  return bytes;
}

class DataUriSource final : public ImageSource {
 public:
  std::string_view name() const override { return "data_uri"; }

  absl::StatusOr<std::optional<ImageLocation>> Locate(const ImageUri& uri,
                                                      const ImageRequest&) const override {
    if (!absl::StartsWithIgnoreCase(text::View(uri.text), "data:")) return std::nullopt;
    // The image is as close as a cache's, and comes once: there is no key.
    return ImageLocation{.address = std::string(uri.text), .failures_last = false, .lane = "data"};
  }

  boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(std::shared_ptr<Download> download,
                                                           FetchContext& context) const override {
    absl::AnyInvocable<absl::StatusOr<std::string>()&&> read =
        [uri = download->location.address, max_bytes = context.options.max_bytes] {
          return DecodeDataUri(uri, max_bytes);
        };
    auto reading = ReadImage(download, context, context.image_threads, std::move(read));
    ImageFetcher::Result image = co_await std::move(reading);
    if (!image.ok()) co_return image.status();
    LoadedImage loaded;
    loaded.image = *std::move(image);
    co_return loaded;
  }
};

}  // namespace

std::unique_ptr<ImageSource> MakeDataUriSource() { return std::make_unique<DataUriSource>(); }

}  // namespace image_fetch
