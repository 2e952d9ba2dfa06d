#include "bulk/image_loader.h"

#include <absl/strings/numbers.h>
#include <absl/time/clock.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "async/concurrency.h"
#include "bulk/s3_listing.h"
#include "files/text_file.h"
#include "hash/sha256.h"
#include "image_fetch/async_fetch.h"
#include "text/str_cat.h"
#include "vision/image_codec.h"

namespace bulk {
namespace {

using boost::asio::awaitable;
using text::StrCat;

constexpr absl::Duration kFetchTimeout = absl::Minutes(2);

// A folder that is gone, or that nothing is in any more, since what was mounted there isn't.
bool HasVanished(const std::string& folder) {
  std::error_code error;
  return std::filesystem::is_empty(folder, error) || error;
}

}  // namespace

awaitable<absl::StatusOr<backends::ImageRef>> ImageLoader::Load(const Item& item) {
  if (!listing_.of_label_studio && !IsAddress(item.name)) {
    auto reading = async::OnPool(pool_, [this, &item] { return ReadFile(item); });
    co_return co_await std::move(reading);
  }
  image_fetch::ImageRequest request;
  request.uri = item.name;
  if (listing_.of_label_studio) {
    request.label_studio = site_;
    (void)absl::SimpleAtoi(item.id, &request.task_id);
  }
  request.deadline = absl::Now() + kFetchTimeout;
  auto fetching = image_fetch::AsyncFetch(fetcher_, request);
  auto image = co_await std::move(fetching);
  if (absl::IsNotFound(image.status()) && item.name.starts_with("s3://")) {
    auto checking = async::OnPool(pool_, [this, &item] { return CheckBucket(s3_, item.name); });
    const absl::Status bucket = co_await std::move(checking);
    // Not this object is missing, but all of them.
    if (!bucket.ok()) co_return absl::UnavailableError(bucket.message());
    // Or it was, and the bucket has just come back.
    auto again = image_fetch::AsyncFetch(fetcher_, std::move(request));
    image = co_await std::move(again);
  }
  if (!image.ok()) co_return image.status();
  co_return backends::ImageRef{.id = (*image)->image_id, .bytes = {*image, &(*image)->bytes}};
}

absl::StatusOr<backends::ImageRef> ImageLoader::ReadFile(const Item& item) const {
  const std::string path = PathOf(listing_, item);
  // Opening a pipe would wait for somebody who writes into it.
  std::error_code error;
  const std::filesystem::file_status file = std::filesystem::status(path, error);
  if (std::filesystem::exists(file) && !std::filesystem::is_regular_file(file) &&
      !std::filesystem::is_directory(file)) {
    return absl::InvalidArgumentError(
        StrCat(Shown(item.name), ": is a pipe or a device; needed is a file"));
  }
  absl::StatusOr<std::string> bytes = files::ReadText(path, static_cast<std::size_t>(max_bytes_));
  if (absl::IsNotFound(bytes.status())) {
    if (HasVanished(listing_.root)) {
      return absl::UnavailableError(
          StrCat("the folder ", Shown(listing_.root), " has vanished, or is empty now"));
    }
    // Or it had, and has just come back.
    bytes = files::ReadText(path, static_cast<std::size_t>(max_bytes_));
  }
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(StrCat(Shown(item.name), ": there is no such file any more"));
  }
  if (!bytes.ok()) {
    return absl::Status(bytes.status().code(), Shown(text::StdView(bytes.status().message())));
  }
  const auto header = vision::ReadImageHeader(*bytes, {.max_bytes = max_bytes_});
  if (!header.ok()) {
    return absl::Status(header.status().code(),
                        StrCat(Shown(item.name), ": ", header.status().message()));
  }
  backends::ImageRef image;
  image.id = hash::Sha256Hex(*bytes);
  image.bytes = std::make_shared<const std::string>(*std::move(bytes));
  return image;
}

}  // namespace bulk
