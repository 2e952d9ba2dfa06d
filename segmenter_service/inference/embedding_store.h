// The tiers behind the EmbeddingCache: what another replica has encoded, or this one before it was
// restarted. All are best effort both ways: what can't be reached, or has something else in the
// embedding's place, behaves as if it were empty.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

// Thread-safe.
class EmbeddingStore {
 public:
  virtual ~EmbeddingStore() = default;

  // Null if there is no embedding of a network with this `spec`. May block, but not for long. `key`
  // names encoder and image: "ENCODER/IMAGE_ID".
  virtual std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                                     const NetworkSpec& spec) = 0;

  // Copies the embedding and doesn't wait for it to be stored.
  virtual void Insert(const std::string& key, const ImageEmbedding& embedding) = 0;
};

// Several, in the order in which they are looked into. What is found in one is put into those
// before it.
class EmbeddingStores final : public EmbeddingStore {
 public:
  explicit EmbeddingStores(std::vector<std::unique_ptr<EmbeddingStore>> stores)
      : stores_(std::move(stores)) {}

  std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                             const NetworkSpec& spec) override;
  void Insert(const std::string& key, const ImageEmbedding& embedding) override;

 private:
  const std::vector<std::unique_ptr<EmbeddingStore>> stores_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
