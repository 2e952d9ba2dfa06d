#include "segmenter_service/inference/embedding_store.h"

#include <cstddef>

namespace segmenter {

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

}  // namespace segmenter
