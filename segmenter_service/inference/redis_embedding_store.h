// Embeddings that replicas share in Redis, for a while.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_REDIS_EMBEDDING_STORE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_REDIS_EMBEDDING_STORE_H_

#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>

#include "segmenter_service/inference/embedding_store.h"
#include "serving/metrics.h"
#include "serving/redis/redis_client.h"

namespace segmenter {

class RedisEmbeddingStore final : public EmbeddingStore {
 public:
  // Both must outlive the store. Embeddings of images of more than `max_pixels` are refused.
  RedisEmbeddingStore(serving::RedisClient& redis, absl::Duration time_to_live,
                      std::int64_t max_pixels, serving::Metrics& metrics)
      : redis_(redis), time_to_live_(time_to_live), max_pixels_(max_pixels), metrics_(metrics) {}

  // Blocks, at most for twice the Redis client's timeout.
  std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                             const NetworkSpec& spec) override;
  void Insert(const std::string& key, const ImageEmbedding& embedding) override;
  // Redis answers within twice its client's timeout, or it is away.
  absl::Status Keep(const std::string& key, const ImageEmbedding& embedding,
                    absl::Time deadline) override;
  Retention retention() const override { return {.time = time_to_live_}; }

 private:
  serving::RedisClient& redis_;
  const absl::Duration time_to_live_;
  const std::int64_t max_pixels_;
  serving::Metrics& metrics_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_REDIS_EMBEDDING_STORE_H_
