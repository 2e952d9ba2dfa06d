// Embeddings in files: they outlive all processes, and replicas that mount the folder share them.
//
// FOLDER/ENCODER/12/1234….embedding: a file appears under its name when it is complete, and ends
// with a checksum (docs/formats.md). One that is damaged is removed. The files are at most a budget
// of bytes together: above it those go first that were used longest ago. Several processes may use
// one folder, each with the same budget.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_FOLDER_EMBEDDING_STORE_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_FOLDER_EMBEDDING_STORE_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "segmenter_service/inference/embedding_store.h"
#include "serving/metrics.h"

namespace segmenter {

inline constexpr serving::CounterSpec kEmbeddingFiles{
    "duet_segmenter_embedding_files_total",
    "Embeddings in files; outcome: read, written, damaged (removed, and encoded again), unreadable "
    "(encoded again, the file stays), evicted, failed (could not be written), dropped (came faster "
    "than they can be written).",
    "outcome"};
inline constexpr serving::GaugeSpec kEmbeddingFolderBytes{
    "duet_segmenter_embedding_folder_bytes",
    "What the embeddings in files take, as far as this process knows."};

class FolderEmbeddingStore final : public EmbeddingStore {
 public:
  struct Options {
    std::string folder;  // made if it is missing, but not what it lies in
    std::int64_t budget_bytes = 0;
    std::int64_t max_pixels = 0;  // embeddings of larger images are refused
    // What may wait to be written, while the disk is slow.
    std::size_t most_waiting_bytes = std::size_t{256} << 20;
  };

  // InvalidArgument, naming the folder, if it can't be written to. `metrics` must outlive it.
  static absl::StatusOr<std::unique_ptr<FolderEmbeddingStore>> Open(Options options,
                                                                    serving::Metrics& metrics);
  // Writes what waits.
  ~FolderEmbeddingStore() override;

  std::shared_ptr<const ImageEmbedding> Find(const std::string& key,
                                             const NetworkSpec& spec) override;
  void Insert(const std::string& key, const ImageEmbedding& embedding) override;
  absl::Status Keep(const std::string& key, const ImageEmbedding& embedding,
                    absl::Time deadline) override;
  Retention retention() const override { return {.budget_bytes = options_.budget_bytes}; }
  // What a file of such a network's embedding takes.
  static std::size_t FileBytes(const NetworkSpec& spec);

  // Until nothing waits to be written.
  void Flush();

 private:
  // What became of a file that somebody waits for.
  struct Outcome {
    bool known = false;
    absl::Status status;
  };
  struct Waiting {
    std::string path;
    std::string bytes;
    std::shared_ptr<Outcome> outcome = nullptr;  // guarded by mutex_; null: nobody waits for it
  };

  FolderEmbeddingStore(Options options, serving::Metrics& metrics);
  std::string PathOf(const std::string& key) const;
  static Waiting ToFile(std::string path, const ImageEmbedding& embedding);
  // Whether it may wait to be written. REQUIRES: mutex_ is held.
  bool HasRoomFor(const Waiting& waiting) const;
  // REQUIRES: mutex_ is held.
  void Enqueue(Waiting waiting);
  void Count(const char* outcome) { metrics_.Get(kEmbeddingFiles, {outcome}).Increment(); }

  // On the writer's thread.
  void Write();
  absl::Status WriteOne(const Waiting& waiting);
  // Finds out what the folder holds, and brings it below the budget.
  void TakeStock();

  const Options options_;
  serving::Metrics& metrics_;

  std::mutex mutex_;  // guards all up to the thread
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool writing_ = true;  // the writer begins with taking stock
  bool stopping_ = false;

  // Of the writer's thread.
  std::int64_t held_bytes_ = 0;
  bool failing_ = false;
  std::thread writer_;  // last
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_FOLDER_EMBEDDING_STORE_H_
