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
#include "prelabel/predictor.h"
#include "text/str_cat.h"
#include "vision/image_codec.h"

namespace bulk {
namespace {

using boost::asio::awaitable;
using text::StrCat;

constexpr absl::Duration kFetchTimeout = absl::Minutes(2);

namespace fs = std::filesystem;

// A folder that is gone, or that nothing is in any more, since what was mounted there isn't.
bool HasVanished(const std::string& folder) {
  std::error_code error;
  return fs::is_empty(folder, error) || error;
}

// The folder that would have vanished if the file of this name did so with others. An absolute path
// doesn't say where its disk is mounted: what is left of it.
std::string FolderOf(const Listing& listing, const Item& item) {
  fs::path folder(item.name);
  if (!folder.is_absolute()) return listing.root;
  std::error_code ignored;
  do {
    folder = folder.parent_path();
  } while (folder.has_relative_path() && !fs::exists(folder, ignored));
  return folder.native();
}

// Errors that are an image's own. But a storage may give them for every object: some refuse keys
// that have expired with 400.
bool SeemsItsOwn(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
         absl::IsInvalidArgument(status);
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
  if (item.name.starts_with("s3://") && SeemsItsOwn(image.status())) {
    auto checking =
        async::OnPool(pool_, [this, &item] { return CheckBucket(s3_, network_, item.name); });
    const absl::Status bucket = co_await std::move(checking);
    if (absl::IsUnauthenticated(bucket)) {
      co_return absl::FailedPreconditionError(bucket.message());
    }
    if (absl::IsNotFound(image.status())) {
      // FailedPrecondition: there is no such bucket (any more).
      if (absl::IsFailedPrecondition(bucket) || absl::IsNotFound(bucket) ||
          prelabel::IsRetryable(bucket)) {
        co_return absl::UnavailableError(bucket.message());
      }
      // Or it was so, and the bucket has just come back.
      auto again = image_fetch::AsyncFetch(fetcher_, std::move(request));
      image = co_await std::move(again);
    }
  }
  if (image.ok()) {
    co_return backends::ImageRef{.id = (*image)->image_id, .bytes = {*image, &(*image)->bytes}};
  }
  if (absl::IsUnauthenticated(image.status()) && listing_.of_label_studio) {
    co_return absl::FailedPreconditionError(image.status().message());
  }
  if (absl::IsFailedPrecondition(image.status())) {
    co_return absl::PermissionDeniedError(image.status().message());  // of this image's address
  }
  co_return image.status();
}

absl::StatusOr<backends::ImageRef> ImageLoader::ReadFile(const Item& item) const {
  const std::string path = PathOf(listing_, item);
  // Opening a pipe would wait for somebody who writes into it.
  std::error_code error;
  const fs::file_status file = fs::status(path, error);
  if (fs::exists(file) && !fs::is_regular_file(file) && !fs::is_directory(file)) {
    return absl::InvalidArgumentError(
        StrCat(Shown(item.name), ": is a pipe or a device; needed is a file"));
  }
  absl::StatusOr<std::string> bytes = files::ReadText(path, static_cast<std::size_t>(max_bytes_));
  if (absl::IsNotFound(bytes.status())) {
    const std::string folder = FolderOf(listing_, item);
    if (HasVanished(folder)) {
      return absl::UnavailableError(
          StrCat("the folder ", Shown(folder), " has vanished, or is empty now"));
    }
    // Or it had, and has just come back.
    bytes = files::ReadText(path, static_cast<std::size_t>(max_bytes_));
  }
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(StrCat(Shown(item.name), ": there is no such file any more"));
  }
  if (!bytes.ok()) {
    return absl::Status(
        SeemsItsOwn(bytes.status()) ? bytes.status().code() : absl::StatusCode::kUnavailable,
        Shown(text::StdView(bytes.status().message())));
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
