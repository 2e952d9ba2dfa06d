#include "segmenter_service/inference/segmenter.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <utility>

#include "hash/sha256.h"
#include "serving/exceptions.h"
#include "text/utf8.h"

namespace segmenter {
namespace {

constexpr std::ptrdiff_t kPicturesDecodedAtOnce = 2;
// Prompts that run as one piece of work: a click behind a batch's boxes waits for one piece, and
// small pieces cost more in all.
constexpr std::size_t kSegmentPiece = 16;
constexpr std::size_t kGeneratorPiece = 4;

// Of an embedding: models that differ in their decoders only share it.
std::string KeyOf(const ServedModel& model, const std::string& image_id) {
  return absl::StrCat(model.encoder, "/", image_id);
}

// Of masks: nothing of another model's.
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
      refinements_(options.refinements),
      decoding_(kPicturesDecodedAtOnce),
      embedder_(cache_, store, queue_, clock),
      queue_({.name = "segmenter", .capacity = options.queue_capacity, .threads = 1}, clock,
             &metrics) {}

absl::Status Segmenter::WarmUp(const ServedModel& model) {
  absl::Status result;
  absl::Status status = queue_.Run(
      {.rank = kPrefetchRank, .run = [&](absl::Duration) { result = model.network->WarmUp(); }});
  return status.ok() ? result : status;
}

absl::StatusOr<PreparedImage> Segmenter::Prepare(std::string_view image, const ServedModel& model) {
  decoding_.acquire();
  absl::StatusOr<cv::Mat> pixels = serving::CatchAll(
      "decode the picture", [&] { return vision::DecodeImage(image, options_.image_limits); });
  decoding_.release();
  if (!pixels.ok()) return pixels.status();
  const NetworkSpec& spec = model.network->spec();
  absl::StatusOr<InputGeometry> geometry =
      FitInput({pixels->cols, pixels->rows}, spec.image_size, spec.framing);
  if (!geometry.ok()) return geometry.status();
  return PreparedImage{*geometry, ResizeToInput(*pixels, *geometry)};
}

absl::StatusOr<EmbedAnswer> Segmenter::Embed(std::shared_ptr<const ServedModel> model,
                                             std::string_view image, int rank,
                                             const CallLimits& limits) {
  EmbedAnswer answer;
  answer.model = std::move(model);
  answer.image_id = ImageIdOf(image);
  absl::StatusOr<EmbedOutcome> outcome = embedder_.Embed(
      KeyOf(*answer.model, answer.image_id), answer.model->network,
      [&] { return Prepare(image, *answer.model); },
      {.rank = rank, .deadline = limits.deadline, .is_cancelled = limits.is_cancelled});
  if (!outcome.ok()) return outcome.status();
  Count(*outcome);
  if (!outcome->cached) {
    metrics_.Get(kEncodeSeconds).Observe(absl::ToDoubleSeconds(outcome->encode_time));
  }
  answer.embedding = std::move(outcome->embedding);
  answer.cached = outcome->cached;
  answer.times.decode_image = outcome->prepare_time;
  answer.times.queue = outcome->queue_time;
  answer.times.encode = outcome->encode_time;
  return answer;
}

void Segmenter::Count(const EmbedOutcome& outcome) {
  const char* const result = outcome.shared ? "shared" : outcome.cached ? "hit" : "miss";
  metrics_.Get(kEmbeddings, {result}).Increment();
  metrics_.Get(kCacheBytes).Set(static_cast<double>(cache_.held_bytes()));
}

absl::Status Segmenter::CheckPrompts(const SegmentQuestion& question, vision::Size image,
                                     int low_res_size) {
  if (question.prompts.empty()) return absl::InvalidArgumentError("prompts is empty");
  if (question.prompts.size() > options_.max_prompts) {
    return absl::InvalidArgumentError(absl::StrCat("prompts holds ", question.prompts.size(),
                                                   "; at most ", options_.max_prompts,
                                                   " are answered in one request"));
  }
  for (std::size_t i = 0; i < question.prompts.size(); ++i) {
    if (absl::Status status = CheckPrompt(question.prompts[i], image, low_res_size); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("prompts[", i, "]: ", status.message()));
    }
  }
  return absl::OkStatus();
}

// Prompts are checked before a picture is encoded for them.
absl::StatusOr<EmbedAnswer> Segmenter::FindEmbedding(const SegmentQuestion& question,
                                                     const CallLimits& limits) {
  const int low_res_size = question.model->network->spec().low_res_size;
  if (!question.image.empty()) {
    absl::StatusOr<vision::ImageHeader> header =
        vision::ReadImageHeader(question.image, options_.image_limits);
    if (!header.ok()) return header.status();
    if (absl::Status status = CheckPrompts(question, header->size, low_res_size); !status.ok()) {
      return status;
    }
    return Embed(question.model, question.image, question.background ? kBatchRank : kOpenedTaskRank,
                 limits);
  }
  absl::StatusOr<EmbedAnswer> answer = FindCached(question.model, question.image_id);
  if (!answer.ok()) return answer;
  const vision::Size size = answer->embedding->geometry.original;
  if (absl::Status status = CheckPrompts(question, size, low_res_size); !status.ok()) return status;
  return answer;
}

absl::StatusOr<EmbedAnswer> Segmenter::FindCached(std::shared_ptr<const ServedModel> model,
                                                  const std::string& image_id) {
  EmbedAnswer answer;
  EmbedOutcome outcome = embedder_.Find(KeyOf(*model, image_id), model->network->spec());
  if (!outcome.cached) {
    return absl::NotFoundError(absl::StrCat("image_id '",
                                            std::string(text::Utf8Prefix(image_id, 100)),
                                            "' is unknown or was evicted: send the image"));
  }
  Count(outcome);
  answer.embedding = std::move(outcome.embedding);
  answer.model = std::move(model);
  answer.image_id = image_id;
  answer.cached = true;
  return answer;
}

absl::StatusOr<SegmentAnswer> Segmenter::Segment(const SegmentQuestion& question,
                                                 const CallLimits& limits) {
  absl::StatusOr<EmbedAnswer> image = FindEmbedding(question, limits);
  if (!image.ok()) return image.status();
  SegmentAnswer answer;
  answer.image = *std::move(image);
  const std::string key = RefinementKeyOf(*answer.image.model, answer.image.image_id);
  const ImageEmbedding& embedding = *answer.image.embedding;

  std::vector<Prompt> prompts;
  for (const Prompt& prompt : question.prompts) {
    prompts.push_back(ToInput(prompt, embedding.geometry));
    if (question.refine && prompt.mask_logits.empty()) {
      prompts.back().mask_logits = refinements_.FindEarlier(key, prompt);
    }
  }

  CallTimes& times = answer.image.times;
  absl::StatusOr<LowResMasks> masks = DecodeInPieces(
      answer.image, prompts, question.multimask_output,
      question.background ? kBatchRank : kSegmentRank, kSegmentPiece, limits, &times);
  if (!masks.ok()) return masks.status();
  answer.masks = *std::move(masks);
  metrics_.Get(kDecodeSeconds).Observe(absl::ToDoubleSeconds(times.decode_masks));
  metrics_.Get(kPrompts).Increment(static_cast<double>(prompts.size()));

  if (question.refine) {
    for (std::size_t i = 0; i < question.prompts.size(); ++i) {
      int best = 0;
      for (int mask = 1; mask < answer.masks.masks_per_prompt; ++mask) {
        if (answer.masks.IouScore(i, mask) > answer.masks.IouScore(i, best)) best = mask;
      }
      refinements_.Keep(key, question.prompts[i], answer.masks.ClampedLogits(i, best));
    }
  }
  return answer;
}

absl::StatusOr<std::shared_ptr<const ImageEmbedding>> Segmenter::EmbedPixels(
    const ServedModel& model, const cv::Mat& pixels, const CallLimits& limits) {
  const NetworkSpec& spec = model.network->spec();
  const absl::StatusOr<InputGeometry> geometry =
      FitInput({pixels.cols, pixels.rows}, spec.image_size, spec.framing);
  if (!geometry.ok()) return geometry.status();
  std::vector<float> input(std::size_t{3} * spec.image_size * spec.image_size);
  NormalizeAndPad(ResizeToInput(pixels, *geometry), *geometry, input.data());
  absl::StatusOr<Embedding> features = absl::InternalError("not run");
  const absl::Status status =
      queue_.Run({.rank = kBatchRank,
                  .deadline = limits.deadline,
                  .is_cancelled = limits.is_cancelled,
                  .run = [&](absl::Duration) {
                    features = model.network->EncodeImage(
                        input,
                        [&]() -> absl::Status {
                          if (limits.is_cancelled && limits.is_cancelled()) {
                            return absl::CancelledError("the caller hung up");
                          }
                          queue_.RunWaitingAbove(kBatchRank);
                          return absl::OkStatus();
                        },
                        [&] { queue_.RunWaitingAbove(kOpenedTaskRank); });
                  }});
  if (!status.ok()) return status;
  if (!features.ok()) return features.status();
  return std::make_shared<const ImageEmbedding>(*geometry, *std::move(features));
}

absl::StatusOr<LowResMasks> Segmenter::DecodeInPieces(const EmbedAnswer& image,
                                                      absl::Span<const Prompt> prompts,
                                                      bool multimask_output, int rank,
                                                      std::size_t piece, const CallLimits& limits,
                                                      CallTimes* times) {
  LowResMasks all;
  for (std::size_t from = 0; from < prompts.size(); from += piece) {
    absl::StatusOr<LowResMasks> masks = absl::InternalError("not run");
    const absl::Status status = queue_.Run({.rank = rank,
                                            .deadline = limits.deadline,
                                            .is_cancelled = limits.is_cancelled,
                                            .run = [&](absl::Duration queued) {
                                              const absl::Time begin = clock_.Now();
                                              masks = image.model->network->DecodeMasks(
                                                  image.embedding->features,
                                                  prompts.subspan(from, piece), multimask_output);
                                              times->queue += queued;
                                              times->decode_masks += clock_.Now() - begin;
                                            }});
    if (!status.ok()) return status;
    if (!masks.ok()) return masks.status();
    all.masks_per_prompt = masks->masks_per_prompt;
    all.size = masks->size;
    all.logit_limit = masks->logit_limit;
    all.logits.insert(all.logits.end(), masks->logits.begin(), masks->logits.end());
    all.iou_scores.insert(all.iou_scores.end(), masks->iou_scores.begin(), masks->iou_scores.end());
  }
  return all;
}

absl::StatusOr<GenerateAnswer> Segmenter::Generate(
    const GenerateQuestion& question,
    const std::function<absl::Status(int prompts_done, int prompts_total)>& progress,
    const CallLimits& limits) {
  if (absl::Status status = CheckOptions(question.options); !status.ok()) return status;
  if (question.image.empty() && question.options.crop_n_layers > 0) {
    return absl::InvalidArgumentError("crop_n_layers needs the image's pixels: send the image");
  }
  absl::StatusOr<EmbedAnswer> image =
      question.image.empty() ? FindCached(question.model, question.image_id)
                             : Embed(question.model, question.image, kBatchRank, limits);
  if (!image.ok()) return image.status();
  GenerateAnswer answer{*std::move(image), {}};
  cv::Mat pixels;
  if (question.options.crop_n_layers > 0) {
    absl::StatusOr<cv::Mat> decoded = vision::DecodeImage(question.image, options_.image_limits);
    if (!decoded.ok()) return decoded.status();
    pixels = *std::move(decoded);
  }
  bool whole = true;  // the first crop is the picture
  absl::StatusOr<std::vector<GeneratedMask>> masks = GenerateMasks(
      answer.image.embedding->geometry.original, question.options,
      {.embed =
           [&](const vision::Box& crop) -> absl::StatusOr<std::shared_ptr<const ImageEmbedding>> {
         if (std::exchange(whole, false)) return answer.image.embedding;
         const cv::Rect rect(static_cast<int>(crop.x_min), static_cast<int>(crop.y_min),
                             static_cast<int>(crop.width()), static_cast<int>(crop.height()));
         return EmbedPixels(*question.model, pixels(rect), limits);
       },
       .decode =
           [&](const std::shared_ptr<const ImageEmbedding>& embedding,
               absl::Span<const Prompt> prompts) {
             EmbedAnswer crop;
             crop.model = question.model;
             crop.embedding = embedding;
             CallTimes times;
             return DecodeInPieces(crop, prompts, /*multimask_output=*/true, kBatchRank,
                                   kGeneratorPiece, limits, &times);
           },
       .progress = progress});
  if (!masks.ok()) return masks.status();
  answer.masks = *std::move(masks);
  return answer;
}

}  // namespace segmenter
