#include "segmenter_service/inference/embedding_store.h"

#include <algorithm>
#include <cstddef>

namespace segmenter {

EmbeddingStores::EmbeddingStores(std::vector<std::unique_ptr<EmbeddingStore>> stores)
    : stores_(std::move(stores)),
      keeper_(std::max_element(stores_.begin(), stores_.end(), [](const auto& a, const auto& b) {
                return a->retention().time < b->retention().time;
              })->get()) {}

std::shared_ptr<const ImageEmbedding> EmbeddingStores::Find(const std::string& key,
                                                            const NetworkSpec& spec) {
  for (std::size_t i = 0; i < stores_.size(); ++i) {
    std::shared_ptr<const ImageEmbedding> embedding = stores_[i]->Find(key, spec);
    if (embedding == nullptr) continue;
    for (std::size_t before = 0; before < i; ++before) stores_[before]->Insert(key, *embedding);
    return embedding;
  }
  return nullptr;
}

void EmbeddingStores::Insert(const std::string& key, const ImageEmbedding& embedding) {
  for (const auto& store : stores_) store->Insert(key, embedding);
}

absl::Status EmbeddingStores::Keep(const std::string& key, const ImageEmbedding& embedding,
                                   absl::Time deadline) {
  for (const auto& store : stores_) {
    if (store.get() != keeper_) store->Insert(key, embedding);
  }
  return keeper_->Keep(key, embedding, deadline);
}

}  // namespace segmenter
