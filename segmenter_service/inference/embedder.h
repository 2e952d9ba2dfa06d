// Embedder turns pictures into embeddings, each at most once at a time.
//
// Somebody opens a picture: the project's prefetch may be encoding it, a batch may have it queued,
// and the page itself asks twice. All of them join one flight, whose encoder pass runs once. A
// flight runs at the most urgent rank of those who wait for it: every one of them puts work of its
// own rank into the queue, the first of these that gets its turn encodes, the others find it done
// or running. While it runs it gives way between the network's steps to work that is more urgent,
// and within them to clicks.
// It stops at the next step when nobody waits for it any more.
//
// Before a flight prepares anything it looks into the store that replicas share, if there is one.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDER_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDER_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <opencv2/core/mat.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "segmenter_service/inference/embedding_cache.h"
#include "segmenter_service/inference/embedding_store.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/sam_network.h"
#include "serving/clock.h"
#include "serving/work_queue.h"

namespace segmenter {

// Of the work queue: the smaller, the more urgent.
enum WorkRank { kSegmentRank = 0, kOpenedTaskRank = 1, kBatchRank = 2, kPrefetchRank = 3 };

// A picture decoded and scaled, ready to be normalised: at most 3 MB, where SAM's input takes 12.
struct PreparedImage {
  InputGeometry geometry;
  cv::Mat resized;
};

struct EmbedCall {
  int rank = kOpenedTaskRank;
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> is_cancelled;  // as serving::Work's
};

struct EmbedOutcome {
  std::shared_ptr<const ImageEmbedding> embedding;
  bool cached = false;          // no encoder pass was needed, not even somebody else's
  bool shared = false;          // `cached`, by another replica
  absl::Duration prepare_time;  // of this call; zero if another one prepared the picture
  absl::Duration queue_time;    // from prepared to the pass's begin
  absl::Duration encode_time;   // of the pass, without what it gave way to
};

// Thread-safe; called from threads that may block, not from the queue's.
class Embedder {
 public:
  // All must outlive the embedder. `store` may be null.
  Embedder(EmbeddingCache& cache, EmbeddingStore* store, serving::WorkQueue& queue,
           serving::Clock& clock)
      : cache_(cache), store_(store), queue_(queue), clock_(clock) {}

  // From the cache or the store; null if neither has it.
  EmbedOutcome Find(const std::string& key, const NetworkSpec& spec);

  // As Find, or by joining or starting a flight. `key` names network and picture: model
  // version and image id. `prepare` is called on this thread if nobody has prepared the picture.
  // Fails as `prepare`, the queue and the network do; DeadlineExceeded or Cancelled for this caller
  // alone.
  absl::StatusOr<EmbedOutcome> Embed(const std::string& key, std::shared_ptr<SamNetwork> network,
                                     const std::function<absl::StatusOr<PreparedImage>()>& prepare,
                                     const EmbedCall& call);

 private:
  struct Waiter;
  struct Flight;

  std::shared_ptr<Flight> Join(const std::string& key, std::shared_ptr<SamNetwork> network,
                               const std::shared_ptr<Waiter>& waiter, bool* created);
  void Leave(Flight& flight, const std::shared_ptr<Waiter>& waiter);
  void Run(const std::shared_ptr<Flight>& flight, absl::Duration queued);
  absl::StatusOr<std::shared_ptr<const ImageEmbedding>> Encode(Flight& flight, PreparedImage image,
                                                               absl::Duration* given_away);
  // Between two steps: gives way, or says why the pass should stop.
  absl::Status Yield(Flight& flight, absl::Duration* given_away);
  // Runs what is more urgent than `rank`.
  void GiveWay(int rank, absl::Duration* given_away);
  // Tells all who wait. REQUIRES: `mutex_` is held.
  void Finish(Flight& flight, absl::Status status);
  // Waits for `done` as long as this caller wants to. REQUIRES: `lock` is held.
  absl::Status WaitFor(std::unique_lock<std::mutex>& lock, const EmbedCall& call,
                       const std::function<bool()>& done);

  EmbeddingCache& cache_;
  EmbeddingStore* const store_;
  serving::WorkQueue& queue_;
  serving::Clock& clock_;

  std::mutex mutex_;  // guards all that follows, and what is in the flights
  std::condition_variable changed_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDER_H_
