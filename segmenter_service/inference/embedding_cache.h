// EmbeddingCache keeps embeddings in memory, so that the second click on an image costs a
// mask-decoder pass instead of an encoder pass.
//
// Once the entries' summed size exceeds the budget, the least recently used ones are dropped.
// Thread-safe.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CACHE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "segmenter_service/inference/embedding.h"

namespace segmenter {

class EmbeddingCache {
 public:
  // `budget_bytes` bounds the embeddings held here, not those callers still hold.
  explicit EmbeddingCache(std::size_t budget_bytes) : budget_bytes_(budget_bytes) {}

  // Returns what was kept under `key` (encoder and image id), or null. It stays valid for as
  // long as the caller holds it, even if it is evicted meanwhile.
  std::shared_ptr<const ImageEmbedding> Find(const std::string& key);

  // Replaces an entry of the same key. REQUIRES: `embedding` is not null. One larger than the whole
  // budget is not kept.
  void Insert(const std::string& key, std::shared_ptr<const ImageEmbedding> embedding);

  std::size_t held_bytes() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const ImageEmbedding> embedding;
  };
  using Entries = std::list<Entry>;

  // REQUIRES: `mutex_` is held.
  void Erase(Entries::iterator entry);

  const std::size_t budget_bytes_;
  mutable std::mutex mutex_;
  Entries by_recency_;  // front: most recently used
  std::unordered_map<std::string, Entries::iterator> index_;
  std::size_t held_bytes_ = 0;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CACHE_H_
