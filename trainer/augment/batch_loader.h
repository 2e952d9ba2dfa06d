// Keeps the next batches of a training ready, made by threads of its own while the network
// computes.
#ifndef DUET_TRAINER_AUGMENT_BATCH_LOADER_H_
#define DUET_TRAINER_AUGMENT_BATCH_LOADER_H_

#include <absl/status/statusor.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "trainer/augment/training_sequence.h"
#include "trainer/samples/image_source.h"

namespace trainer {

struct LoaderOptions {
  int batch_size = 8;
  // One makes images many times faster than two cores can learn from them (docs/performance.md).
  int threads = 1;
  // How many batches are made in advance at most. With masks an image takes several megabytes.
  int batches_ahead = 2;
  // Where to begin, for a training that goes on.
  std::uint64_t first_batch = 0;
};

// Every epoch has as many batches as hold its images; the last one is smaller if they don't come
// out even, as upstream.
std::uint64_t BatchesPerEpoch(std::size_t epoch_size, int batch_size);

class BatchLoader {
 public:
  // `sequence` must outlive this. REQUIRES: numbers of `options` are positive. Where not all
  // threads can be started, the others do the work; without any, Next is an error.
  BatchLoader(const TrainingSequence& sequence, const LoaderOptions& options);
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;
  // Waits for the images that are in work, a fraction of a second.
  ~BatchLoader();

  // The next batch; waits until it is complete. What TrainingSequence::Load couldn't do is an error
  // here, at the batch that it belongs to; an exception that ended a thread is one of the next
  // batch that isn't complete. To be called from one thread, and not after an error.
  absl::StatusOr<std::vector<TrainingImage>> Next();

 private:
  // Images n of a batch: first ≤ n < end.
  struct Range {
    std::uint64_t first;
    std::uint64_t end;
  };
  Range RangeOf(std::uint64_t batch) const;
  void Run();  // of a thread: Work, from which no exception may escape
  void Work();

  const TrainingSequence& sequence_;
  const LoaderOptions options_;
  std::mutex mutex_;                // guards all below
  std::condition_variable wanted_;  // of workers: there is room, or the end has come
  std::condition_variable made_;    // of Next: an image more
  bool stopping_ = false;
  std::uint64_t next_batch_;  // that Next will give
  std::uint64_t next_image_;  // that a worker will make
  std::map<std::uint64_t, absl::StatusOr<TrainingImage>> ready_;
  std::exception_ptr failure_;        // what ended a thread, or kept all from beginning
  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_BATCH_LOADER_H_
