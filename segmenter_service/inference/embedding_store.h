// The tiers behind the EmbeddingCache: what another replica has encoded, or this one before it was
// restarted. All are best effort both ways: what can't be reached, or has something else in the
// embedding's place, behaves as if it were empty.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

// How long a store keeps what it was given.
struct Retention {
  absl::Duration time = absl::InfiniteDuration();
  // What it may take; above it those go that were used longest ago. 0: isn't known here.
  std::int64_t budget_bytes = 0;
};

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

  // The same for those who need to know: OK once it is stored. Waits for room instead of dropping
  // it. Aborted if it can't be stored now: it isn't the image's fault.
  virtual absl::Status Keep(const std::string& key, const ImageEmbedding& embedding,
                            absl::Time deadline) = 0;
  virtual Retention retention() const = 0;
};

// Several, in the order in which they are looked into. What is found in one is put into those
// before it. Whether something is kept says the one that keeps it longest.
class EmbeddingStores final : public EmbeddingStore {
 public:
  // REQUIRES: there is one.
  explicit EmbeddingStores(std::vector<std::unique_ptr<EmbeddingStore>> stores);

  std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                             const NetworkSpec& spec) override;
  void Insert(const std::string& key, const ImageEmbedding& embedding) override;
  absl::Status Keep(const std::string& key, const ImageEmbedding& embedding,
                    absl::Time deadline) override;
  Retention retention() const override { return keeper_->retention(); }

 private:
  const std::vector<std::unique_ptr<EmbeddingStore>> stores_;
  EmbeddingStore* const keeper_;  // of stores_
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
