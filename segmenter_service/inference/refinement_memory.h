// RefinementMemory lets a further click build on the mask before it.
//
// Used interactively, Segment Anything is given its own last low-res logits along with each new
// point; without them every click starts afresh and the mask jumps. Label Studio sends only the
// points, all of them each time, so the logits of recent masks are kept here and found again by the
// prompt that they belong to. The least recently kept ones are forgotten. Thread-safe.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_REFINEMENT_MEMORY_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_REFINEMENT_MEMORY_H_

#include <absl/types/span.h>

#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "segmenter_service/inference/prompt.h"

namespace segmenter {

class RefinementMemory {
 public:
  // An entry holds one low-res mask: 256 KiB for official models.
  explicit RefinementMemory(std::size_t capacity) : capacity_(capacity) {}

  // The logits of the mask for `prompt` without its last point, else without its box, else empty. A
  // box that replaces another one starts afresh. `key`: model version and image id.
  std::vector<float> FindEarlier(const std::string& key, const Prompt& prompt);

  // Keeps the logits of the mask for `prompt`, in place of earlier ones for the same prompt.
  void Keep(const std::string& key, const Prompt& prompt, absl::Span<const float> logits);

 private:
  struct Entry {
    std::string key;
    std::vector<PromptPoint> points;
    std::optional<vision::Box> box;
    std::vector<float> logits;
  };
  // REQUIRES: `mutex_` is held.
  std::list<Entry>::iterator Find(const std::string& key, absl::Span<const PromptPoint> points,
                                  const std::optional<vision::Box>& box);

  const std::size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> by_recency_;  // front: kept last
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_REFINEMENT_MEMORY_H_
