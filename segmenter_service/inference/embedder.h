// Embedder turns images into embeddings, each at most once at a time.
//
// When a person opens an image, the project's prefetch may be encoding it, a batch may have it
// queued, and the page itself asks twice. All of them join one flight, whose encoder pass runs
// once. A flight has the highest priority of those who wait for it: each of them puts work of its
// own priority into the queue, the first of these that gets its turn encodes, the others find the
// embedding done or being made. Between the network's steps a flight gives way to work that is more
// urgent, within them to clicks. It stops at the next step when nobody waits for it any more.
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

// An image decoded and scaled, ready to be normalised: at most 3 MB, where SAM's input takes 12.
struct PreparedImage {
  InputGeometry geometry;
  cv::Mat resized;
};

struct EmbedCall {
  serving::Priority priority = serving::Priority::kOpenedTask;
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> is_cancelled;  // as serving::Work's
  // Wait until the store has it, too, and fail if it can't take it. REQUIRES: there is a store.
  bool keep = false;
};

struct EmbedOutcome {
  std::shared_ptr<const ImageEmbedding> embedding;
  bool cached = false;                  // no encoder pass was needed, not even another caller's
  bool shared = false;                  // `cached`, and another replica had stored it
  absl::Duration prepare_time;          // of this call; zero if another call prepared the image
  absl::Duration queue_time;            // from the end of preparing to the beginning of the pass
  absl::Duration encode_time;           // of the pass, without what it gave way to
  absl::Time encode_begin, encode_end;  // of the pass
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

  // As Find, or by joining or starting a flight. `key` names encoder and image. `prepare` is called
  // on this thread if nobody has prepared the image. Blocks until the embedding is there. Fails as
  // `prepare`, the queue, the network and EmbeddingStore::Keep do; DeadlineExceeded or Cancelled
  // for this caller alone.
  absl::StatusOr<EmbedOutcome> Embed(const std::string& key, std::shared_ptr<SamNetwork> network,
                                     const std::function<absl::StatusOr<PreparedImage>()>& prepare,
                                     const EmbedCall& call);

 private:
  struct Waiter;
  struct Flight;

  absl::StatusOr<EmbedOutcome> Fly(const std::string& key, std::shared_ptr<SamNetwork> network,
                                   const std::function<absl::StatusOr<PreparedImage>()>& prepare,
                                   const EmbedCall& call);
  std::shared_ptr<Flight> Join(const std::string& key, std::shared_ptr<SamNetwork> network,
                               const std::shared_ptr<Waiter>& waiter, bool* created);
  void Leave(Flight& flight, const std::shared_ptr<Waiter>& waiter);
  void Run(const std::shared_ptr<Flight>& flight, absl::Duration queued);
  absl::StatusOr<std::shared_ptr<const ImageEmbedding>> Encode(Flight& flight, PreparedImage image,
                                                               absl::Duration* given_away);
  // Between two steps: gives way, or says why the pass should stop.
  absl::Status Yield(Flight& flight, absl::Duration* given_away);
  // Runs what is more urgent than `priority`, and adds the time to `given_away`.
  void GiveWay(serving::Priority priority, absl::Duration* given_away);
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
