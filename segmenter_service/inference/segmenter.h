// Segmenter is the service without its wire: images and prompts in, low-res masks out. It joins
// work queue, embeddings and what is remembered between clicks, and decides the priority of each
// piece of work. Every call names the model that it is for.
//
// A call runs on its caller's thread, which decodes the image; the network runs on the queue's one
// thread, by priority.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_SEGMENTER_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_SEGMENTER_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <string_view>
#include <vector>

#include "segmenter_service/inference/embedder.h"
#include "segmenter_service/inference/embedding_cache.h"
#include "segmenter_service/inference/embedding_store.h"
#include "segmenter_service/inference/mask_generator.h"
#include "segmenter_service/inference/prompt.h"
#include "segmenter_service/inference/refinement_memory.h"
#include "segmenter_service/inference/served_model.h"
#include "serving/clock.h"
#include "serving/metrics.h"
#include "serving/request_context.h"
#include "serving/work_queue.h"
#include "vision/image_codec.h"

namespace segmenter {

inline constexpr serving::CounterSpec kEmbeddings{
    "duet_segmenter_embeddings_total",
    "Embeddings asked for; result: hit (was there), shared (another replica had stored it), miss "
    "(encoded, or joined to a running pass).",
    "result"};
inline constexpr serving::CounterSpec kPrompts{"duet_segmenter_prompts_total", "Prompts answered."};
inline constexpr serving::HistogramSpec kEncodeSeconds{
    "duet_segmenter_encode_seconds", "Encoder pass of one image, without what it gave way to."};
inline constexpr serving::HistogramSpec kDecodeSeconds{
    "duet_segmenter_decode_seconds", "Prompt encoder and mask decoder, all prompts of a request."};
inline constexpr serving::GaugeSpec kCacheBytes{"duet_segmenter_embedding_cache_bytes",
                                                "Embeddings kept in memory."};

struct SegmenterOptions {
  std::size_t embedding_cache_bytes = std::size_t{512} << 20;
  int queue_capacity = 64;
  std::size_t refinements = 64;
  std::size_t max_prompts = 1024;  // in one request
  vision::ImageLimits image_limits;
};

// Until when a caller wants its result, and which request it is for.
struct CallLimits {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> is_cancelled;                      // may be null
  std::shared_ptr<const serving::RequestContext> request;  // for the log; may be null
};

// Where the time went; see Timing in segmenter.proto.
struct CallTimes {
  absl::Duration queue, decode_image, encode, decode_masks;
};

struct EmbedResult {
  std::shared_ptr<const ServedModel> model;
  std::string image_id;
  std::shared_ptr<const ImageEmbedding> embedding;
  bool cached = false;
  CallTimes times;
};

struct SegmentRequest {
  // Bytes of the image's file, or empty and `image_id` of an earlier result.
  std::string_view image;
  std::string image_id;
  std::vector<Prompt> prompts;  // original pixels
  bool multimask_output = false;
  bool refine = false;
  bool background = false;  // nobody waits: a batch's priority instead of a click's
  bool hover = false;       // a preview: an opened task's priority instead of a click's
  std::shared_ptr<const ServedModel> model = nullptr;  // REQUIRES: is set
};

struct SegmentResult {
  EmbedResult image;
  LowResMasks masks;
};

struct GenerateRequest {
  // As SegmentRequest's; `image_id` alone is enough only without crops, which need pixels.
  std::string_view image;
  std::string image_id;
  MaskGeneratorOptions options;
  std::shared_ptr<const ServedModel> model = nullptr;  // REQUIRES: is set
};

struct GenerateResult {
  EmbedResult image;
  std::vector<GeneratedMask> masks;
};

// Lower-case hex SHA-256: the id of the image with these bytes.
std::string ImageIdOf(std::string_view bytes);

// Thread-safe.
class Segmenter {
 public:
  // `clock`, `metrics` and `store` must outlive it. `store` may be null: replicas share nothing.
  Segmenter(const SegmenterOptions& options, serving::Clock& clock, serving::Metrics& metrics,
            EmbeddingStore* store = nullptr);

  // REQUIRES: `model` is not null. `keep`: waits until the store has it, too; Unimplemented if
  // there is none, Aborted if it can't take it now.
  absl::StatusOr<EmbedResult> Embed(std::shared_ptr<const ServedModel> model,
                                    std::string_view image, serving::Priority priority,
                                    const CallLimits& limits, bool keep = false);
  // What an embedding of the model takes in a store, bytes.
  static std::size_t StoredBytes(const ServedModel& model);
  // Nothing if there is no store.
  std::optional<Retention> retention() const;

  // InvalidArgument names the prompt ("prompts[3]: …"), NotFound an unknown image_id.
  absl::StatusOr<SegmentResult> Segment(const SegmentRequest& request, const CallLimits& limits);

  // Masks of everything in the image, with the priority of a batch: between a few prompts it gives
  // way. `progress` as MaskGeneratorSteps'.
  absl::StatusOr<GenerateResult> Generate(
      const GenerateRequest& request,
      const std::function<absl::Status(int prompts_done, int prompts_total)>& progress,
      const CallLimits& limits);

  // Runs the first use of all that is in `model`, in the queue, where other work goes first for a
  // fifth of a second. Blocks.
  absl::Status WarmUp(const ServedModel& model);

 private:
  absl::StatusOr<PreparedImage> Prepare(std::string_view image, const ServedModel& model,
                                        const serving::RequestContext* request);
  absl::StatusOr<EmbedResult> FindEmbedding(const SegmentRequest& request,
                                            const CallLimits& limits);
  // Of this replica or another one.
  absl::StatusOr<EmbedResult> FindCached(std::shared_ptr<const ServedModel> model,
                                         const std::string& image_id);
  // A crop's embedding; not kept.
  absl::StatusOr<std::shared_ptr<const ImageEmbedding>> EmbedPixels(const ServedModel& model,
                                                                    const cv::Mat& pixels,
                                                                    const CallLimits& limits);
  void Count(const EmbedOutcome& outcome);
  struct DecodeOptions {
    bool multimask_output = false;
    serving::Priority priority = serving::Priority::kInteractive;
    // Prompts at a time: other work of this priority waits for one piece only.
    std::size_t piece = 1;
  };
  // Adds to `times`, which may be null.
  absl::StatusOr<LowResMasks> DecodeInPieces(SamNetwork& network, const Embedding& embedding,
                                             absl::Span<const Prompt> prompts,
                                             const DecodeOptions& options, const CallLimits& limits,
                                             CallTimes* times);
  absl::Status CheckPrompts(const SegmentRequest& request, vision::Size image, int low_res_size);

  const SegmenterOptions options_;
  serving::Clock& clock_;
  serving::Metrics& metrics_;

  EmbeddingCache cache_;
  EmbeddingStore* const store_;
  RefinementMemory refinements_;
  std::counting_semaphore<> decoding_;  // images decoded at once: each may take 300 MB
  Embedder embedder_;
  serving::WorkQueue queue_;  // last, so that its thread is gone before what its work uses
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_SEGMENTER_H_
