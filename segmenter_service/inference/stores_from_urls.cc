#include "segmenter_service/inference/stores_from_urls.h"

#include <absl/status/status.h>

#include <string>
#include <utility>
#include <vector>

#include "segmenter_service/inference/folder_embedding_store.h"
#include "segmenter_service/inference/redis_embedding_store.h"
#include "serving/redis/redis_client.h"
#include "text/str_cat.h"

namespace segmenter {
namespace {

constexpr std::string_view kFile = "file://";
constexpr std::string_view kSchemes[] = {"redis://", "rediss://", kFile};

// With the client that it uses.
class OwnRedisStore final : public EmbeddingStore {
 public:
  OwnRedisStore(const serving::RedisUrl& url, const StoreOptions& options,
                serving::Metrics& metrics)
      : redis_(url, serving::RedisClient::Options(), metrics),
        store_(redis_, options.time_to_live, options.max_pixels, metrics) {}

  std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                             const NetworkSpec& spec) override {
    return store_.Find(key, spec);
  }
  void Insert(const std::string& key, const ImageEmbedding& embedding) override {
    store_.Insert(key, embedding);
  }
  absl::Status Keep(const std::string& key, const ImageEmbedding& embedding,
                    absl::Time deadline) override {
    return store_.Keep(key, embedding, deadline);
  }
  Retention retention() const override { return store_.retention(); }

 private:
  serving::RedisClient redis_;
  RedisEmbeddingStore store_;
};

// At commas that a scheme follows: a password may have others.
std::vector<std::string_view> Split(std::string_view urls) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t comma = urls.find(','); comma != std::string_view::npos;
       comma = urls.find(',', comma + 1)) {
    for (const std::string_view scheme : kSchemes) {
      if (!urls.substr(comma + 1).starts_with(scheme)) continue;
      parts.push_back(urls.substr(begin, comma - begin));
      begin = comma + 1;
      break;
    }
  }
  parts.push_back(urls.substr(begin));
  return parts;
}

absl::StatusOr<std::unique_ptr<EmbeddingStore>> StoreFromUrl(std::string_view url,
                                                             const StoreOptions& options,
                                                             serving::Metrics& metrics) {
  if (url.starts_with(kFile)) {
    const std::string_view folder = url.substr(kFile.size());
    if (!folder.starts_with('/')) {
      return absl::InvalidArgumentError(
          text::StrCat(url, " names no folder from the root on; needed is file:///FOLDER"));
    }
    return FolderEmbeddingStore::Open({.folder = std::string(folder),
                                       .budget_bytes = options.folder_bytes,
                                       .max_pixels = options.max_pixels},
                                      metrics);
  }
  const absl::StatusOr<serving::RedisUrl> redis = serving::ParseRedisUrl(std::string(url));
  if (!redis.ok()) return redis.status();
  return std::make_unique<OwnRedisStore>(*redis, options, metrics);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddingStore>> StoresFromUrls(std::string_view urls,
                                                               const StoreOptions& options,
                                                               serving::Metrics& metrics) {
  if (urls.empty()) return nullptr;
  std::vector<std::unique_ptr<EmbeddingStore>> stores;
  for (const std::string_view url : Split(urls)) {
    absl::StatusOr<std::unique_ptr<EmbeddingStore>> store = StoreFromUrl(url, options, metrics);
    if (!store.ok()) return store.status();
    stores.push_back(*std::move(store));
  }
  if (stores.size() == 1) return std::move(stores.front());
  return std::make_unique<EmbeddingStores>(std::move(stores));
}

}  // namespace segmenter
