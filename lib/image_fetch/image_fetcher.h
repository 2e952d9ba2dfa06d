// ImageFetcher turns the image string of a task into bytes, whatever it points at: Label Studio
// uploads and local files, http(s), data URIs, S3, Google and Azure storage through Label Studio.
//
// All transfers run on one thread of the fetcher's own (libcurl's multi interface): callers never
// block, and connections are reused. What can block or takes long (look-ups of names, local files,
// hashing) runs on other threads, so that one host or file system that hangs delays only those who
// ask for it. Fetched images are kept in a byte-budgeted cache, known failures for seconds.
//
// Untrusted URIs: addresses are checked after resolution, at connect. Private, loopback and
// link-local ones are refused unless allowed, or the host is that of a Label Studio that the
// operator named. Redirects are followed one by one and checked again; what has left Label Studio
// once has no part in its trust or token any more. label_studio_site.h says where a token goes.
//
// Cached is an answer for those who would get the same one: of elsewhere by its URL, of Label
// Studio by URL, site and token, and what its presign gives by task too, since the task's project
// decides which storage is asked.
#ifndef DUET_IMAGE_FETCH_IMAGE_FETCHER_H_
#define DUET_IMAGE_FETCH_IMAGE_FETCHER_H_

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http_client/network.h"
#include "http_client/s3_access.h"
#include "label_studio_api/label_studio_site.h"
#include "vision/geometry.h"

namespace image_fetch {

struct ImageRequest {
  std::string uri;           // from the task's data
  std::int64_t task_id = 0;  // for storages that Label Studio signs; 0: unknown
  label_studio_api::LabelStudioSite label_studio;
  absl::Time deadline = absl::InfiniteFuture();
};

// Shared with the cache: never changed.
struct FetchedImage {
  std::string bytes;     // as encoded
  std::string image_id;  // SHA-256 of bytes, lower-case hex
  vision::Size size;     // upright, from the header
};

class ImageFetcher {
 public:
  struct Options {
    std::shared_ptr<http_client::Network> network;  // null: http_client::Network::Default()
    std::string local_files_root;                   // "": local files come through Label Studio
    http_client::S3Access s3;
    // Hosts ("host" or "host:port") or networks ("10.0.0.0/8") that may be asked although their
    // addresses are private.
    std::vector<std::string> allowed_private;
    bool allow_all_private = false;
    std::int64_t max_bytes = 64 << 20;
    std::int64_t max_pixels = 100'000'000;
    absl::Duration timeout = absl::Seconds(30);  // of one image, redirects and token included
    absl::Duration connect_timeout = absl::Seconds(5);
    int max_redirects = 5;
    int max_concurrent = 64;  // transfers; further ones wait. One host never takes all of them.
    std::int64_t cache_bytes = 256 << 20;
    absl::Duration fresh_for =
        absl::Seconds(60);  // then asked again, with validators if the server gave any
    // Failures are remembered so that the many requests for one image, of a batch and of its
    // prefetching, ask once. Whoever has mended the image and opens its task again must not meet
    // the old failure, so both are shorter than that takes. Asking again for what wasn't found
    // costs one small exchange; for what is no image or too large, a whole transfer.
    absl::Duration missing_for = absl::Seconds(5);
    absl::Duration unusable_for = absl::Seconds(20);
    std::function<absl::Time()> clock = absl::Now;  // for the cache and tokens
  };

  using Result = absl::StatusOr<std::shared_ptr<const FetchedImage>>;
  // Called once, on the fetcher's thread: hand over and return.
  using Callback = absl::AnyInvocable<void(Result) &&>;
  using FetchId = std::uint64_t;

  // InvalidArgument for an unreadable root or a malformed allow-list entry.
  static absl::StatusOr<std::unique_ptr<ImageFetcher>> Create(Options options);
  // Pending fetches end as Cancelled. Joins the thread: not from a callback.
  virtual ~ImageFetcher() = default;

  // Any thread. Fetches of one image that overlap are one transfer. Errors, one sentence without
  // query or token: InvalidArgument (not a usable URI, not an image, too large), NotFound,
  // Unauthenticated (Label Studio refused the token, or none is set), PermissionDenied (address
  // refused, 403), FailedPrecondition (a flag is needed), Unavailable (no connection, 5xx),
  // DeadlineExceeded, Cancelled.
  virtual FetchId Fetch(ImageRequest request, Callback done) = 0;
  // Any thread. The image if it is cached and fresh, else null: never waits.
  virtual std::shared_ptr<const FetchedImage> Find(const ImageRequest& request) = 0;
  // Any thread. If the fetch hasn't ended it does so now, as Cancelled; otherwise nothing happens.
  virtual void Cancel(FetchId id) = 0;

  struct Stats {
    std::int64_t cache_hits = 0;
    std::int64_t cache_misses = 0;
    std::int64_t negative_hits = 0;
    std::int64_t revalidated = 0;  // 304
    std::int64_t cache_bytes = 0;
    std::int64_t transfers = 0;  // HTTP exchanges of any kind
    std::int64_t in_flight = 0;
  };
  virtual Stats stats() const = 0;
};

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_IMAGE_FETCHER_H_
