#include "segmenter_service/inference/embedding_cache.h"

#include <utility>

namespace segmenter {

std::shared_ptr<const ImageEmbedding> EmbeddingCache::Find(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  by_recency_.splice(by_recency_.begin(), by_recency_, found->second);
  return found->second->embedding;
}

void EmbeddingCache::Insert(const std::string& key,
                            std::shared_ptr<const ImageEmbedding> embedding) {
  std::lock_guard lock(mutex_);
  if (const auto found = index_.find(key); found != index_.end()) Erase(found->second);
  if (embedding->bytes() > budget_bytes_) return;
  held_bytes_ += embedding->bytes();
  by_recency_.push_front({key, std::move(embedding)});
  index_[key] = by_recency_.begin();
  while (held_bytes_ > budget_bytes_) Erase(std::prev(by_recency_.end()));
}

std::size_t EmbeddingCache::held_bytes() const {
  std::lock_guard lock(mutex_);
  return held_bytes_;
}

void EmbeddingCache::Erase(Entries::iterator entry) {
  held_bytes_ -= entry->embedding->bytes();
  index_.erase(entry->key);
  by_recency_.erase(entry);
}

}  // namespace segmenter
