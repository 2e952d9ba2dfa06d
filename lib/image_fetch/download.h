// One image on its way. Everybody who asks for it meanwhile waits for it. Internal to image_fetch.
#ifndef DUET_IMAGE_FETCH_DOWNLOAD_H_
#define DUET_IMAGE_FETCH_DOWNLOAD_H_

#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "image_fetch/image_cache.h"
#include "image_fetch/image_fetcher.h"
#include "image_fetch/image_source.h"

namespace image_fetch {

// Used on the loop's thread only.
struct Download {
  struct Waiter {
    ImageFetcher::Callback done;
    absl::Time deadline;
  };

  std::string key;  // among the downloads that somebody waits for
  ImageLocation location;
  ImageRequest request;                    // of the first who asked
  std::optional<ImageCache::Entry> stale;  // what the cache has, to be asked about
  std::unordered_map<ImageFetcher::FetchId, Waiter> waiters;
  absl::Time deadline;         // set at the start
  std::uint64_t exchange = 0;  // the TransferLoop's that runs just now

  // Nobody waits any more: the download is given up.
  bool abandoned() const { return waiters.empty(); }
};

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_DOWNLOAD_H_
