// The stores that --embedding_store names.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_STORES_FROM_URLS_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_STORES_FROM_URLS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "segmenter_service/inference/embedding_store.h"
#include "serving/metrics.h"

namespace segmenter {

struct StoreOptions {
  absl::Duration time_to_live = absl::Hours(24);  // in Redis
  std::int64_t folder_bytes = 0;                  // of each folder
  std::int64_t max_pixels = 0;
};

// `urls`: "redis://…,file:///FOLDER", in the order in which they are looked into. Null if it is
// empty. InvalidArgument for what is no URL of either kind or can't be used. `metrics` must outlive
// it.
absl::StatusOr<std::unique_ptr<EmbeddingStore>> StoresFromUrls(std::string_view urls,
                                                               const StoreOptions& options,
                                                               serving::Metrics& metrics);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_STORES_FROM_URLS_H_
