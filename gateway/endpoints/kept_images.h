// The pictures of the page at /ui, so that its browser sends each once.
#ifndef DUET_GATEWAY_ENDPOINTS_KEPT_IMAGES_H_
#define DUET_GATEWAY_ENDPOINTS_KEPT_IMAGES_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "containers/lru.h"
#include "image_fetch/image_fetcher.h"

namespace gateway::endpoints {

// Encoded images by their ids, in memory alone. Once they are too many or too large together, the
// least recently used ones are dropped, and their browsers send them again. Thread-safe.
class KeptImages {
 public:
  using ImagePtr = std::shared_ptr<const image_fetch::FetchedImage>;
  static constexpr std::size_t kMaxImages = 256;
  static constexpr std::size_t kMaxBytes = 64 << 20;

  explicit KeptImages(std::size_t max_images = kMaxImages, std::size_t max_bytes = kMaxBytes)
      : images_(max_images, max_bytes) {}

  // False if it is larger than all may be together.
  bool Keep(ImagePtr image) {
    const std::string id = image->image_id;
    const std::size_t bytes = image->bytes.size();
    const std::lock_guard lock(mutex_);
    images_.Insert(id, std::move(image), bytes);
    return images_.Find(id) != nullptr;
  }
  // Null if it isn't here, or not any more.
  ImagePtr Find(const std::string& id) {
    const std::lock_guard lock(mutex_);
    ImagePtr* const found = images_.Find(id);
    return found == nullptr ? nullptr : *found;
  }

 private:
  std::mutex mutex_;
  containers::Lru<ImagePtr> images_;  // guarded by mutex_
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_KEPT_IMAGES_H_
