#include "image_fetch/read_image.h"

#include <absl/status/status.h>

#include <utility>

#include "hash/sha256.h"
#include "http_client/transfer.h"
#include "http_client/url.h"
#include "text/str_cat.h"
#include "vision/image_codec.h"

namespace image_fetch {
namespace {

// `uri`: whose bytes these are, for errors.
ImageFetcher::Result MakeImage(const std::string& uri, std::string bytes,
                               const vision::ImageLimits& limits) {
  const absl::StatusOr<vision::ImageHeader> header = vision::ReadImageHeader(bytes, limits);
  if (!header.ok()) {
    return absl::Status(
        header.status().code(),
        text::StrCat(http_client::RedactUri(uri), ": ", text::StdView(header.status().message())));
  }
  auto image = std::make_shared<FetchedImage>();
  image->bytes = std::move(bytes);
  image->image_id = hash::Sha256Hex(image->bytes);
  image->size = header->size;
  return std::shared_ptr<const FetchedImage>(std::move(image));
}

}  // namespace

boost::asio::awaitable<ImageFetcher::Result> ReadImage(
    std::shared_ptr<Download> download, FetchContext& context,
    http_client::DetachedThreads& threads,
    absl::AnyInvocable<absl::StatusOr<std::string>() &&> read) {
  vision::ImageLimits limits;
  limits.max_bytes = context.options.max_bytes;
  limits.max_pixels = context.options.max_pixels;
  const auto made = std::make_shared<ImageFetcher::Result>(absl::InternalError("not made"));
  absl::AnyInvocable<void()&&> work = [made, uri = download->request.uri, limits,
                                       read = std::move(read)]() mutable {
    absl::StatusOr<std::string> bytes = std::move(read)();
    *made = bytes.ok() ? MakeImage(uri, *std::move(bytes), limits) : bytes.status();
  };
  absl::Status ran = co_await context.loop.Offload(threads, std::move(work), download->deadline,
                                                   &download->exchange);
  const std::string shown = http_client::RedactUri(download->request.uri);
  if (absl::IsDeadlineExceeded(ran)) {
    co_return absl::DeadlineExceededError(text::StrCat(shown, " was not read in time"));
  }
  if (absl::IsResourceExhausted(ran)) {
    co_return absl::UnavailableError(
        text::StrCat(shown, " is not read now: too many reads have not come back"));
  }
  if (!ran.ok()) co_return ran;
  co_return *made;
}

}  // namespace image_fetch
