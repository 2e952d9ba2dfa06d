// ImageCache keeps fetched images and known failures, so that the second click on a task, or the
// second project on the same images, costs no transfer.
//
// Images: the least recently used are dropped once their bytes exceed the budget. An image older
// than `fresh_for` is still held, but should be asked for again with its validators. Failures are
// forgotten when they say, and the least recently used once there are more than kMaxFailures or
// kMaxFailureBytes.
#ifndef DUET_IMAGE_FETCH_IMAGE_CACHE_H_
#define DUET_IMAGE_FETCH_IMAGE_CACHE_H_

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "containers/lru.h"
#include "image_fetch/image_fetcher.h"

namespace image_fetch {

// What the server gave to ask "has it changed?" with; "" if nothing.
struct Validators {
  std::string etag;
  std::string last_modified;
};

// Thread-safe.
class ImageCache {
 public:
  static constexpr std::size_t kMaxFailures = 100'000;
  static constexpr std::size_t kMaxFailureBytes = 64 << 20;

  ImageCache(std::int64_t budget_bytes, absl::Duration fresh_for);

  struct Entry {
    std::shared_ptr<const FetchedImage> image;
    Validators validators;
    bool fresh = false;
  };
  // A use: the image is now the most recent one.
  std::optional<Entry> Find(const std::string& key, absl::Time now);
  // The failure, if it is still remembered.
  std::optional<absl::Status> FindFailure(const std::string& key, absl::Time now);

  // Replaces what was there. An image larger than the whole budget is not kept.
  void Insert(const std::string& key, std::shared_ptr<const FetchedImage> image,
              Validators validators, absl::Time now);
  // The server says that it hasn't changed.
  void Refresh(const std::string& key, absl::Time now);
  // Remembers it until `forget_at`. The image that was there is dropped.
  void InsertFailure(const std::string& key, absl::Status status, absl::Time forget_at);

  std::int64_t bytes() const;

 private:
  struct Held {
    std::string key;
    std::shared_ptr<const FetchedImage> image;
    Validators validators;
    absl::Time checked;
  };
  struct Failure {
    absl::Status status;
    absl::Time forget_at;
  };
  static std::int64_t Cost(const Held& held);
  void Erase(const std::string& key);  // REQUIRES: mutex_ is held

  const std::int64_t budget_bytes_;
  const absl::Duration fresh_for_;
  mutable std::mutex mutex_;  // guards all that follows
  std::int64_t bytes_ = 0;
  std::list<Held> by_recency_;  // front: most recently used
  absl::flat_hash_map<std::string, std::list<Held>::iterator> held_;
  containers::Lru<Failure> failures_{kMaxFailures, kMaxFailureBytes};
};

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_IMAGE_CACHE_H_
