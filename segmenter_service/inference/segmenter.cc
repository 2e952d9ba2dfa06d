#include "segmenter_service/inference/segmenter.h"

#include <absl/status/status.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

namespace segmenter {
namespace {

constexpr std::ptrdiff_t kPicturesDecodedAtOnce = 2;

std::string KeyOf(const ServedModel& model, const std::string& image_id) {
  return absl::StrCat(model.version, "/", image_id);
}

}  // namespace

std::string ImageIdOf(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest), sizeof(digest)});
}

Segmenter::Segmenter(const SegmenterOptions& options, std::shared_ptr<const ServedModel> model,
                     serving::Clock& clock, serving::Metrics& metrics)
    : options_(options),
      clock_(clock),
      metrics_(metrics),
      model_(std::move(model)),
      cache_(options.embedding_cache_bytes),
      refinements_(options.refinements),
      decoding_(kPicturesDecodedAtOnce),
      embedder_(cache_, queue_, clock),
      queue_({.name = "segmenter", .capacity = options.queue_capacity, .threads = 1}, clock,
             &metrics) {}

std::shared_ptr<const ServedModel> Segmenter::model() const {
  std::lock_guard lock(model_mutex_);
  return model_;
}

absl::Status Segmenter::WarmUp() { return WarmUp(model()); }

absl::Status Segmenter::WarmUp(const std::shared_ptr<const ServedModel>& model) {
  absl::Status result;
  // Not urgent: while another model serves, its clicks go first.
  absl::Status status = queue_.Run({.rank = kPrefetchRank, .run = [&](absl::Duration) {
                                      result = model->network->WarmUp(options_.threads);
                                    }});
  return status.ok() ? result : status;
}

absl::Status Segmenter::Swap(std::shared_ptr<const ServedModel> model) {
  if (absl::Status status = WarmUp(model); !status.ok()) return status;
  std::lock_guard lock(model_mutex_);
  model_ = std::move(model);
  return absl::OkStatus();
}

absl::StatusOr<PreparedImage> Segmenter::Prepare(std::string_view image, const ServedModel& model) {
  decoding_.acquire();
  absl::StatusOr<cv::Mat> pixels = vision::DecodeImage(image, options_.image_limits);
  decoding_.release();
  if (!pixels.ok()) return pixels.status();
  const int side = static_cast<int>(model.network->config().image_encoder.image_size);
  absl::StatusOr<InputGeometry> geometry = FitInput({pixels->cols, pixels->rows}, side);
  if (!geometry.ok()) return geometry.status();
  return PreparedImage{*geometry, ResizeToInput(*pixels, *geometry)};
}

absl::StatusOr<EmbedAnswer> Segmenter::Embed(std::string_view image, int rank,
                                             const CallLimits& limits) {
  return EmbedFor(model(), image, rank, limits);
}

absl::StatusOr<EmbedAnswer> Segmenter::EmbedFor(std::shared_ptr<const ServedModel> model,
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
  metrics_.Get(kEmbeddings, {outcome->cached ? "hit" : "miss"}).Increment();
  if (!outcome->cached) {
    metrics_.Get(kEncodeSeconds).Observe(absl::ToDoubleSeconds(outcome->encode_time));
    metrics_.Get(kCacheBytes).Set(static_cast<double>(cache_.held_bytes()));
  }
  answer.embedding = std::move(outcome->embedding);
  answer.cached = outcome->cached;
  answer.times.decode_image = outcome->prepare_time;
  answer.times.queue = outcome->queue_time;
  answer.times.encode = outcome->encode_time;
  return answer;
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
  const std::shared_ptr<const ServedModel> current = model();
  const int low_res_size = static_cast<int>(current->network->config().low_res_size());
  if (!question.image.empty()) {
    absl::StatusOr<vision::ImageHeader> header =
        vision::ReadImageHeader(question.image, options_.image_limits);
    if (!header.ok()) return header.status();
    if (absl::Status status = CheckPrompts(question, header->size, low_res_size); !status.ok()) {
      return status;
    }
    return EmbedFor(current, question.image, kOpenedTaskRank, limits);
  }
  EmbedAnswer answer;
  answer.model = current;
  answer.image_id = question.image_id;
  answer.embedding = cache_.Find(KeyOf(*current, question.image_id));
  answer.cached = true;
  if (answer.embedding == nullptr) {
    return absl::NotFoundError(absl::StrCat("image_id '", question.image_id,
                                            "' is unknown or was evicted: send the image"));
  }
  metrics_.Get(kEmbeddings, {"hit"}).Increment();
  if (absl::Status status =
          CheckPrompts(question, answer.embedding->geometry.original, low_res_size);
      !status.ok()) {
    return status;
  }
  return answer;
}

absl::StatusOr<SegmentAnswer> Segmenter::Segment(const SegmentQuestion& question,
                                                 const CallLimits& limits) {
  absl::StatusOr<EmbedAnswer> image = FindEmbedding(question, limits);
  if (!image.ok()) return image.status();
  SegmentAnswer answer;
  answer.image = *std::move(image);
  const std::string key = KeyOf(*answer.image.model, answer.image.image_id);
  const ImageEmbedding& embedding = *answer.image.embedding;

  std::vector<Prompt> prompts;
  for (const Prompt& prompt : question.prompts) {
    prompts.push_back(ToInput(prompt, embedding.geometry));
    if (question.refine && prompt.mask_logits.empty()) {
      prompts.back().mask_logits = refinements_.FindEarlier(key, prompt);
    }
  }

  absl::StatusOr<LowResMasks> masks = absl::InternalError("not run");
  absl::Duration queued, took;
  const absl::Status status =
      queue_.Run({.rank = kSegmentRank,
                  .deadline = limits.deadline,
                  .is_cancelled = limits.is_cancelled,
                  .run = [&](absl::Duration waited) {
                    queued = waited;
                    const absl::Time begin = clock_.Now();
                    masks = answer.image.model->network->DecodeMasks(embedding.features, prompts,
                                                                     question.multimask_output);
                    took = clock_.Now() - begin;
                  }});
  if (!status.ok()) return status;
  if (!masks.ok()) return masks.status();
  answer.masks = *std::move(masks);
  answer.image.times.queue += queued;
  answer.image.times.decode_masks = took;
  metrics_.Get(kDecodeSeconds).Observe(absl::ToDoubleSeconds(took));
  metrics_.Get(kPrompts).Increment(static_cast<double>(prompts.size()));

  if (question.refine) {
    for (std::size_t i = 0; i < question.prompts.size(); ++i) {
      int best = 0;
      for (int mask = 1; mask < answer.masks.masks_per_prompt; ++mask) {
        if (answer.masks.IouScore(i, mask) > answer.masks.IouScore(i, best)) best = mask;
      }
      refinements_.Keep(key, question.prompts[i], answer.masks.Logits(i, best));
    }
  }
  return answer;
}

}  // namespace segmenter
