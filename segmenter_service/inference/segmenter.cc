#include "segmenter_service/inference/segmenter.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <utility>

#include "hash/sha256.h"
#include "model_service/decode_image.h"
#include "segmenter_service/inference/folder_embedding_store.h"
#include "serving/exceptions.h"
#include "text/utf8.h"
#include "tracing/span.h"

namespace segmenter {
namespace {

using serving::Priority;

constexpr std::ptrdiff_t kImagesDecodedAtOnce = 2;
// Prompts that run as one piece of work. A click that arrives behind a batch's boxes waits for one
// piece; smaller pieces cost more in all.
constexpr std::size_t kSegmentPiece = 16;
constexpr std::size_t kGeneratorPiece = 4;
// How long a model that is to be warmed up lets all other work go first. Where clicks never cease,
// it would wait forever.
constexpr absl::Duration kWarmUpPatience = absl::Milliseconds(200);

// The key of an embedding. Models that differ only in their decoders share it.
std::string KeyOf(const ServedModel& model, const std::string& image_id) {
  return absl::StrCat(model.encoder, "/", image_id);
}

std::string TraceOf(const serving::RequestContext* request) {
  return request == nullptr ? "" : request->traceparent();
}

// The encoder's pass as part of a request that began at `begin` and may have joined it later.
void RecordPass(const EmbedOutcome& outcome, absl::Time begin, const std::string& trace) {
  const absl::Time queued = outcome.encode_begin - outcome.queue_time;
  tracing::Record(trace, "wait in queue", std::max(begin, queued),
                  std::max(begin, outcome.encode_begin));
  tracing::Record(trace, "encoder", std::max(begin, outcome.encode_begin), outcome.encode_end);
}

// The key of remembered masks, which models don't share.
std::string RefinementKeyOf(const ServedModel& model, const std::string& image_id) {
  return absl::StrCat(model.version, "/", image_id);
}

}  // namespace

std::string ImageIdOf(std::string_view bytes) { return hash::Sha256Hex(bytes); }

Segmenter::Segmenter(const SegmenterOptions& options, serving::Clock& clock,
                     serving::Metrics& metrics, EmbeddingStore* store)
    : options_(options),
      clock_(clock),
      metrics_(metrics),
      cache_(options.embedding_cache_bytes),
      store_(store),
      refinements_(options.refinements),
      decoding_(kImagesDecodedAtOnce),
      embedder_(cache_, store, queue_, clock),
      queue_({.name = "segmenter", .capacity = options.queue_capacity, .threads = 1}, clock,
             &metrics) {}

absl::Status Segmenter::WarmUp(const ServedModel& model) {
  absl::Status result;
  const auto warm_up = [&](Priority priority, absl::Time deadline) {
    return queue_.Run({.priority = priority, .deadline = deadline, .run = [&](absl::Duration) {
                         result = model.network->WarmUp();
                       }});
  };
  absl::Status status = warm_up(Priority::kPrefetch, clock_.Now() + kWarmUpPatience);
  if (absl::IsDeadlineExceeded(status)) {
    status = warm_up(Priority::kInteractive, absl::InfiniteFuture());
  }
  return status.ok() ? result : status;
}

absl::StatusOr<PreparedImage> Segmenter::Prepare(std::string_view image, const ServedModel& model,
                                                 const serving::RequestContext* request) {
  const tracing::Span span(TraceOf(request), "decode image");
  decoding_.acquire();
  absl::StatusOr<cv::Mat> pixels = serving::CatchAll("decode the image", [&] {
    return model_service::DecodeImage(image, options_.image_limits, request, metrics_);
  });
  decoding_.release();
  if (!pixels.ok()) return pixels.status();
  const NetworkSpec& spec = model.network->spec();
  const InputGeometry geometry =
      FitInput({pixels->cols, pixels->rows}, spec.image_size, spec.framing);
  return PreparedImage{geometry, ResizeToInput(*pixels, geometry)};
}

absl::StatusOr<EmbedResult> Segmenter::Embed(std::shared_ptr<const ServedModel> model,
                                             std::string_view image, Priority priority,
                                             const CallLimits& limits, bool keep) {
  if (keep && store_ == nullptr) {
    return absl::UnimplementedError(
        "embeddings end with this segmenter; needed: one with --embedding_store=file:///FOLDER");
  }
  EmbedResult result;
  result.model = std::move(model);
  result.image_id = ImageIdOf(image);
  const absl::Time begin = clock_.Now();
  absl::StatusOr<EmbedOutcome> outcome =
      embedder_.Embed(KeyOf(*result.model, result.image_id), result.model->network,
                      [&] { return Prepare(image, *result.model, limits.request.get()); },
                      {.priority = priority,
                       .deadline = limits.deadline,
                       .is_cancelled = limits.is_cancelled,
                       .keep = keep});
  if (!outcome.ok()) return outcome.status();
  Count(*outcome);
  if (!outcome->cached) {
    RecordPass(*outcome, begin, TraceOf(limits.request.get()));
    metrics_.Get(kEncodeSeconds).Observe(absl::ToDoubleSeconds(outcome->encode_time));
  }
  result.embedding = std::move(outcome->embedding);
  result.cached = outcome->cached;
  result.times.decode_image = outcome->prepare_time;
  result.times.queue = outcome->queue_time;
  result.times.encode = outcome->encode_time;
  return result;
}

std::size_t Segmenter::StoredBytes(const ServedModel& model) {
  return FolderEmbeddingStore::FileBytes(model.network->spec());
}

std::optional<Retention> Segmenter::retention() const {
  return store_ == nullptr ? std::nullopt : std::optional(store_->retention());
}

void Segmenter::Count(const EmbedOutcome& outcome) {
  const char* const result = outcome.shared ? "shared" : outcome.cached ? "hit" : "miss";
  metrics_.Get(kEmbeddings, {result}).Increment();
  metrics_.Get(kCacheBytes).Set(static_cast<double>(cache_.held_bytes()));
}

absl::Status Segmenter::CheckPrompts(const SegmentRequest& request, vision::Size image,
                                     int low_res_size) {
  if (request.prompts.empty()) return absl::InvalidArgumentError("prompts is empty");
  if (request.prompts.size() > options_.max_prompts) {
    return absl::InvalidArgumentError(absl::StrCat("prompts holds ", request.prompts.size(),
                                                   "; at most ", options_.max_prompts,
                                                   " are answered in one request"));
  }
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    if (absl::Status status = CheckPrompt(request.prompts[i], image, low_res_size); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("prompts[", i, "]: ", status.message()));
    }
  }
  return absl::OkStatus();
}

// Checks the prompts before it has an image encoded for them.
absl::StatusOr<EmbedResult> Segmenter::FindEmbedding(const SegmentRequest& request,
                                                     const CallLimits& limits) {
  const int low_res_size = request.model->network->spec().low_res_size;
  if (!request.image.empty()) {
    absl::StatusOr<vision::ImageHeader> header =
        vision::ReadImageHeader(request.image, options_.image_limits);
    if (!header.ok()) return header.status();
    if (absl::Status status = CheckPrompts(request, header->size, low_res_size); !status.ok()) {
      return status;
    }
    return Embed(request.model, request.image,
                 request.background ? Priority::kBatch : Priority::kOpenedTask, limits);
  }
  const tracing::Span span(TraceOf(limits.request.get()), "find embedding");
  absl::StatusOr<EmbedResult> result = FindCached(request.model, request.image_id);
  if (!result.ok()) return result;
  const vision::Size size = result->embedding->geometry.original;
  if (absl::Status status = CheckPrompts(request, size, low_res_size); !status.ok()) return status;
  return result;
}

absl::StatusOr<EmbedResult> Segmenter::FindCached(std::shared_ptr<const ServedModel> model,
                                                  const std::string& image_id) {
  EmbedResult result;
  EmbedOutcome outcome = embedder_.Find(KeyOf(*model, image_id), model->network->spec());
  if (!outcome.cached) {
    return absl::NotFoundError(absl::StrCat("image_id '",
                                            std::string(text::Utf8Prefix(image_id, 100)),
                                            "' is unknown or was evicted: send the image"));
  }
  Count(outcome);
  result.embedding = std::move(outcome.embedding);
  result.model = std::move(model);
  result.image_id = image_id;
  result.cached = true;
  return result;
}

absl::StatusOr<SegmentResult> Segmenter::Segment(const SegmentRequest& request,
                                                 const CallLimits& limits) {
  absl::StatusOr<EmbedResult> image = FindEmbedding(request, limits);
  if (!image.ok()) return image.status();
  SegmentResult result;
  result.image = *std::move(image);
  const std::string key = RefinementKeyOf(*result.image.model, result.image.image_id);
  const ImageEmbedding& embedding = *result.image.embedding;

  std::vector<Prompt> prompts;
  for (const Prompt& prompt : request.prompts) {
    prompts.push_back(ToInput(prompt, embedding.geometry));
    if (request.refine && prompt.mask_logits.empty()) {
      prompts.back().mask_logits = refinements_.FindEarlier(key, prompt);
    }
  }

  CallTimes& times = result.image.times;
  absl::StatusOr<LowResMasks> masks =
      DecodeInPieces(*result.image.model->network, embedding.features, prompts,
                     {.multimask_output = request.multimask_output,
                      .priority = request.background ? Priority::kBatch
                                  : request.hover    ? Priority::kOpenedTask
                                                     : Priority::kInteractive,
                      .piece = kSegmentPiece},
                     limits, &times);
  if (!masks.ok()) return masks.status();
  result.masks = *std::move(masks);
  metrics_.Get(kDecodeSeconds).Observe(absl::ToDoubleSeconds(times.decode_masks));
  metrics_.Get(kPrompts).Increment(static_cast<double>(prompts.size()));

  if (request.refine) {
    for (std::size_t i = 0; i < request.prompts.size(); ++i) {
      int best = 0;
      for (int mask = 1; mask < result.masks.masks_per_prompt; ++mask) {
        if (result.masks.IouScore(i, mask) > result.masks.IouScore(i, best)) best = mask;
      }
      refinements_.Keep(key, request.prompts[i], result.masks.ClampedLogits(i, best));
    }
  }
  return result;
}

absl::StatusOr<std::shared_ptr<const ImageEmbedding>> Segmenter::EmbedPixels(
    const ServedModel& model, const cv::Mat& pixels, const CallLimits& limits) {
  const NetworkSpec& spec = model.network->spec();
  const InputGeometry geometry =
      FitInput({pixels.cols, pixels.rows}, spec.image_size, spec.framing);
  std::vector<float> input(std::size_t{3} * spec.image_size * spec.image_size);
  NormalizeAndPad(ResizeToInput(pixels, geometry), geometry, input.data());
  absl::StatusOr<Embedding> features = absl::InternalError("not run");
  const absl::Status status =
      queue_.Run({.priority = Priority::kBatch,
                  .deadline = limits.deadline,
                  .is_cancelled = limits.is_cancelled,
                  .run = [&](absl::Duration) {
                    features = model.network->EncodeImage(
                        input,
                        [&]() -> absl::Status {
                          if (limits.is_cancelled && limits.is_cancelled()) {
                            return absl::CancelledError("the caller hung up");
                          }
                          queue_.RunWaitingAbove(Priority::kBatch);
                          return absl::OkStatus();
                        },
                        [&] { queue_.RunWaitingAbove(Priority::kOpenedTask); });
                  }});
  if (!status.ok()) return status;
  if (!features.ok()) return features.status();
  return std::make_shared<const ImageEmbedding>(geometry, *std::move(features));
}

absl::StatusOr<LowResMasks> Segmenter::DecodeInPieces(SamNetwork& network,
                                                      const Embedding& embedding,
                                                      absl::Span<const Prompt> prompts,
                                                      const DecodeOptions& options,
                                                      const CallLimits& limits, CallTimes* times) {
  LowResMasks all;
  for (std::size_t from = 0; from < prompts.size(); from += options.piece) {
    absl::StatusOr<LowResMasks> masks = absl::InternalError("not run");
    const absl::Status status = queue_.Run(
        {.priority = options.priority,
         .deadline = limits.deadline,
         .is_cancelled = limits.is_cancelled,
         .run = [&](absl::Duration queued) {
           const absl::Time begin = clock_.Now();
           tracing::Record(TraceOf(limits.request.get()), "wait in queue", begin - queued, begin);
           const tracing::Span span(TraceOf(limits.request.get()), "mask decoder");
           masks = network.DecodeMasks(embedding, prompts.subspan(from, options.piece),
                                       options.multimask_output);
           if (times == nullptr) return;
           times->queue += queued;
           times->decode_masks += clock_.Now() - begin;
         }});
    if (!status.ok()) return status;
    if (!masks.ok()) return masks.status();
    if (from > 0) {
      all.Append(*masks);
      continue;
    }
    all = *std::move(masks);
    if (options.piece < prompts.size()) all.Reserve(prompts.size());
  }
  return all;
}

absl::StatusOr<GenerateResult> Segmenter::Generate(
    const GenerateRequest& request,
    const std::function<absl::Status(int prompts_done, int prompts_total)>& progress,
    const CallLimits& limits) {
  if (absl::Status status = CheckOptions(request.options); !status.ok()) return status;
  if (request.image.empty() && request.options.crop_n_layers > 0) {
    return absl::InvalidArgumentError("crop_n_layers needs the image's pixels: send the image");
  }
  absl::StatusOr<EmbedResult> image =
      request.image.empty() ? FindCached(request.model, request.image_id)
                            : Embed(request.model, request.image, Priority::kBatch, limits);
  if (!image.ok()) return image.status();
  GenerateResult result{*std::move(image), {}};
  cv::Mat pixels;
  if (request.options.crop_n_layers > 0) {
    absl::StatusOr<vision::DecodedImage> decoded =
        vision::DecodeImage(request.image, options_.image_limits);
    if (!decoded.ok()) return decoded.status();
    pixels = std::move(decoded->pixels);
  }
  bool whole = true;  // the first crop is the whole image
  absl::StatusOr<std::vector<GeneratedMask>> masks = GenerateMasks(
      result.image.embedding->geometry.original, request.options,
      {.embed =
           [&](const vision::Box& crop) -> absl::StatusOr<std::shared_ptr<const ImageEmbedding>> {
         if (std::exchange(whole, false)) return result.image.embedding;
         const cv::Rect rect(static_cast<int>(crop.x_min), static_cast<int>(crop.y_min),
                             static_cast<int>(crop.width()), static_cast<int>(crop.height()));
         return EmbedPixels(*request.model, pixels(rect), limits);
       },
       .decode =
           [&](const std::shared_ptr<const ImageEmbedding>& embedding,
               absl::Span<const Prompt> prompts) {
             return DecodeInPieces(
                 *request.model->network, embedding->features, prompts,
                 {.multimask_output = true, .priority = Priority::kBatch, .piece = kGeneratorPiece},
                 limits, /*times=*/nullptr);
           },
       .progress = progress});
  if (!masks.ok()) return masks.status();
  result.masks = *std::move(masks);
  return result;
}

}  // namespace segmenter
