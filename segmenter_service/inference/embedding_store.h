// EmbeddingStore is the tier behind the EmbeddingCache: what one replica has encoded, the others
// find in Redis. It is best effort both ways: while Redis is unreachable, or has something else
// under the key, the store behaves as if it were empty.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_

#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/sam_network.h"
#include "serving/metrics.h"
#include "serving/redis/redis_client.h"

namespace segmenter {

// Thread-safe.
class EmbeddingStore {
 public:
  // Both must outlive the store. Embeddings of images of more than `max_pixels` are refused.
  EmbeddingStore(serving::RedisClient& redis, absl::Duration time_to_live, std::int64_t max_pixels,
                 serving::Metrics& metrics)
      : redis_(redis), time_to_live_(time_to_live), max_pixels_(max_pixels), metrics_(metrics) {}

  // Null if there is no embedding of a network with this `spec`. Blocks, at most for twice the
  // Redis client's timeout.
  std::shared_ptr<const ImageEmbedding> Find(const std::string& key, const NetworkSpec& spec);

  // Copies the embedding and doesn't wait for Redis.
  void Insert(const std::string& key, const ImageEmbedding& embedding);

 private:
  serving::RedisClient& redis_;
  const absl::Duration time_to_live_;
  const std::int64_t max_pixels_;
  serving::Metrics& metrics_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_STORE_H_
