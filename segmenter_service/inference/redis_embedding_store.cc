#include "segmenter_service/inference/redis_embedding_store.h"

#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>

#include <future>
#include <utility>

#include "segmenter_service/inference/embedding_codec.h"
#include "serving/log.h"

namespace segmenter {
namespace {

std::string RedisKey(const std::string& key) { return "duet:embedding:" + key; }

}  // namespace

std::shared_ptr<const ImageEmbedding> RedisEmbeddingStore::Find(const std::string& key,
                                                                const NetworkSpec& spec) {
  const absl::StatusOr<std::string> bytes = redis_.GetAndWait(RedisKey(key));
  if (!bytes.ok()) return nullptr;
  absl::StatusOr<ImageEmbedding> embedding = DecodeEmbedding(*bytes, spec, max_pixels_);
  if (!embedding.ok()) {
    metrics_.Get(serving::kRedisRefusedValues).Increment();
    serving::LogLine("redis.refused", serving::LogLevel::kWarning)
        .Str("key", RedisKey(key))
        .Status(embedding.status());
    return nullptr;
  }
  return std::make_shared<const ImageEmbedding>(*std::move(embedding));
}

void RedisEmbeddingStore::Insert(const std::string& key, const ImageEmbedding& embedding) {
  if (!redis_.up()) return;
  redis_.Set(RedisKey(key), EncodeEmbedding(embedding), time_to_live_, nullptr);
}

absl::Status RedisEmbeddingStore::Keep(const std::string& key, const ImageEmbedding& embedding,
                                       absl::Time /*deadline*/) {
  std::promise<absl::Status> stored;
  redis_.Set(RedisKey(key), EncodeEmbedding(embedding), time_to_live_,
             [&](absl::Status status) { stored.set_value(std::move(status)); });
  const absl::Status status = stored.get_future().get();
  if (status.ok()) return status;
  return absl::AbortedError(
      absl::StrCat("the embedding could not be kept in Redis: ", status.message()));
}

}  // namespace segmenter
