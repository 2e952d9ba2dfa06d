#include "image_fetch/image_cache.h"

#include <utility>

namespace image_fetch {

ImageCache::ImageCache(std::int64_t budget_bytes, absl::Duration fresh_for)
    : budget_bytes_(budget_bytes), fresh_for_(fresh_for) {}

std::int64_t ImageCache::Cost(const Held& held) {
  // The key is there twice; the rest is list and hash nodes.
  return static_cast<std::int64_t>(held.image->bytes.size() + 2 * held.key.size() + 256);
}

std::optional<ImageCache::Entry> ImageCache::Find(const std::string& key, absl::Time now) {
  const std::lock_guard lock(mutex_);
  const auto it = held_.find(key);
  if (it == held_.end()) return std::nullopt;
  by_recency_.splice(by_recency_.begin(), by_recency_, it->second);
  const Held& held = *it->second;
  return Entry{held.image, held.validators, now - held.checked < fresh_for_};
}

std::optional<absl::Status> ImageCache::FindFailure(const std::string& key, absl::Time now) {
  const std::lock_guard lock(mutex_);
  const Failure* const failure = failures_.Find(key);
  if (failure == nullptr) return std::nullopt;
  if (now < failure->forget_at) return failure->status;
  failures_.Erase(key);
  return std::nullopt;
}

void ImageCache::Insert(const std::string& key, std::shared_ptr<const FetchedImage> image,
                        Validators validators, absl::Time now) {
  const std::lock_guard lock(mutex_);
  Erase(key);
  Held held{key, std::move(image), std::move(validators), now};
  if (Cost(held) > budget_bytes_) return;
  bytes_ += Cost(held);
  by_recency_.push_front(std::move(held));
  held_[key] = by_recency_.begin();
  while (bytes_ > budget_bytes_) {
    const std::string oldest = by_recency_.back().key;
    Erase(oldest);
  }
}

void ImageCache::Refresh(const std::string& key, absl::Time now) {
  const std::lock_guard lock(mutex_);
  if (const auto it = held_.find(key); it != held_.end()) it->second->checked = now;
}

void ImageCache::InsertFailure(const std::string& key, absl::Status status, absl::Time forget_at) {
  const std::lock_guard lock(mutex_);
  Erase(key);
  const std::size_t bytes = status.message().size();
  failures_.Insert(key, {std::move(status), forget_at}, bytes);
}

std::int64_t ImageCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void ImageCache::Erase(const std::string& key) {
  if (const auto it = held_.find(key); it != held_.end()) {
    bytes_ -= Cost(*it->second);
    by_recency_.erase(it->second);
    held_.erase(it);
  }
  failures_.Erase(key);
}

}  // namespace image_fetch
