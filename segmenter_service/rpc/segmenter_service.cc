#include "segmenter_service/rpc/segmenter_service.h"

#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "segmenter_service/rpc/mask_message.h"
#include "serving/exceptions.h"
#include "serving/file_access.h"
#include "serving/grpc_status.h"
#include "serving/model_spec.h"
#include "serving/process_metrics.h"
#include "serving/rpc_interceptor.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

CallLimits LimitsOf(grpc::ServerContext* call) {
  return {absl::FromChrono(call->deadline()), [call] { return call->IsCancelled(); }};
}

float Milliseconds(absl::Duration duration) {
  return static_cast<float>(absl::ToDoubleMilliseconds(duration));
}

int RankOf(pb::EmbedRank rank) {
  switch (rank) {
    case pb::EMBED_RANK_BATCH:
      return kBatchRank;
    case pb::EMBED_RANK_PREFETCH:
      return kPrefetchRank;
    default:
      return kOpenedTaskRank;
  }
}

void WriteTimes(const CallTimes& times, pb::Timing* timing) {
  timing->set_queue_ms(Milliseconds(times.queue));
  timing->set_decode_image_ms(Milliseconds(times.decode_image));
  timing->set_encode_ms(Milliseconds(times.encode));
  timing->set_decode_masks_ms(Milliseconds(times.decode_masks));
}

void NoteTimes(const pb::Timing& timing, bool cached, serving::RequestContext& request) {
  request.NoteStr("embedding", cached ? "hit" : "miss");
  request.NoteNum("queue_ms", timing.queue_ms());
  request.NoteNum("decode_image_ms", timing.decode_image_ms());
  request.NoteNum("encode_ms", timing.encode_ms());
}

void WriteModel(const ServedModel& model, duet::vision::v1::ModelInfo* info) {
  const int side = model.network->spec().image_size;
  info->set_name(model.name);
  info->set_version(model.version);
  info->set_input_width(static_cast<std::uint32_t>(side));
  info->set_input_height(static_cast<std::uint32_t>(side));
  info->set_precision(absl::EndsWith(model.network->spec().arithmetic, "bf16") ? "bf16" : "fp32");
  info->set_device(model.options.device);
  info->set_parameter_count(model.parameter_count);
  info->set_served_as(std::string(serving::kDefaultModel));
}

void WriteSpec(const ServedModel& model, duet::vision::v1::ModelSpec* spec) {
  spec->set_name(std::string(serving::kDefaultModel));
  spec->set_version(model.version);
}

// `image.data`, as a view into the message, or what the file behind `image.uri` holds, as a view
// into `storage`.
absl::StatusOr<std::string_view> ReadImageBytes(const duet::vision::v1::Image& image,
                                                const std::string& root, std::int64_t max_bytes,
                                                std::string* storage) {
  if (image.has_uri()) {
    absl::StatusOr<std::string> bytes = serving::ReadImageUri(image.uri(), root, max_bytes);
    if (!bytes.ok()) return bytes.status();
    *storage = *std::move(bytes);
    return *storage;
  }
  if (image.data().empty()) {
    return absl::InvalidArgumentError("image is empty; it needs data or uri");
  }
  return image.data();
}

// Calls work(i) for 0 <= i < count, on a few threads if there is more than one. `work` must not
// throw.
void ForEach(std::size_t count, const std::function<void(std::size_t)>& work) {
  constexpr std::size_t kMaxThreads = 4;
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> helpers;
  const std::size_t threads =
      std::min({count, kMaxThreads, std::size_t{std::thread::hardware_concurrency()}});
  for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(run);
  run();
}

// Somebody waits for the masks: they are rendered at the same time.
absl::Status WriteResults(const SegmentAnswer& answer, const MaskFormats& formats,
                          pb::SegmentResponse* response) {
  const vision::MaskRenderer renderer =
      MakeMaskRenderer(answer.image.embedding->geometry, answer.masks.size);
  const std::size_t per_prompt = answer.masks.masks_per_prompt;
  std::vector<pb::Mask*> messages;
  for (std::size_t i = 0; i < answer.masks.iou_scores.size(); ++i) {
    if (i % per_prompt == 0) response->add_results();
    messages.push_back(response->mutable_results()->rbegin()->add_masks());
  }
  std::vector<absl::Status> statuses(messages.size());
  const auto write = [&](std::size_t i) {
    const std::size_t prompt = i / per_prompt;
    const int mask = static_cast<int>(i % per_prompt);
    messages[i]->set_iou_score(answer.masks.IouScore(prompt, mask));
    const std::vector<float> handed_out =
        formats.low_res_logits ? answer.masks.ClampedLogits(prompt, mask) : std::vector<float>();
    return WriteMask(renderer.Render(answer.masks.Logits(prompt, mask)), handed_out, formats,
                     messages[i]);
  };
  ForEach(messages.size(), [&](std::size_t i) {
    statuses[i] = serving::CatchAll("render a mask", [&] { return write(i); });
  });
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// What is not set keeps upstream's default.
MaskGeneratorOptions ReadOptions(const pb::SegmentEverythingRequest& request) {
  MaskGeneratorOptions options;
  const auto set = [](bool has, auto value, auto* field) {
    if (has) *field = static_cast<std::remove_pointer_t<decltype(field)>>(value);
  };
  set(request.has_points_per_side(), request.points_per_side(), &options.points_per_side);
  set(request.has_points_per_batch(), request.points_per_batch(), &options.points_per_batch);
  set(request.has_pred_iou_thresh(), request.pred_iou_thresh(), &options.pred_iou_thresh);
  set(request.has_stability_score_thresh(), request.stability_score_thresh(),
      &options.stability_score_thresh);
  set(request.has_stability_score_offset(), request.stability_score_offset(),
      &options.stability_score_offset);
  set(request.has_box_nms_thresh(), request.box_nms_thresh(), &options.box_nms_thresh);
  set(request.has_crop_n_layers(), request.crop_n_layers(), &options.crop_n_layers);
  set(request.has_crop_nms_thresh(), request.crop_nms_thresh(), &options.crop_nms_thresh);
  set(request.has_crop_overlap_ratio(), request.crop_overlap_ratio(), &options.crop_overlap_ratio);
  set(request.has_crop_n_points_downscale_factor(), request.crop_n_points_downscale_factor(),
      &options.crop_n_points_downscale_factor);
  set(request.has_min_mask_region_area(), request.min_mask_region_area(),
      &options.min_mask_region_area);
  set(request.has_mask_threshold(), request.mask_threshold(), &options.mask_threshold);
  return options;
}

absl::Status WriteGenerated(const GeneratedMask& generated, const MaskFormats& formats,
                            pb::GeneratedMask* message) {
  message->mutable_mask()->set_iou_score(generated.iou_score);
  message->set_point_x(generated.point.x);
  message->set_point_y(generated.point.y);
  message->mutable_crop_box()->set_x_min(generated.crop_box.x_min);
  message->mutable_crop_box()->set_y_min(generated.crop_box.y_min);
  message->mutable_crop_box()->set_x_max(generated.crop_box.x_max);
  message->mutable_crop_box()->set_y_max(generated.crop_box.y_max);
  return WriteMask({generated.mask, generated.stability_score}, {}, formats,
                   message->mutable_mask());
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedModel>> SegmenterService::Choose(
    const duet::vision::v1::ModelSpec& spec) const {
  std::shared_ptr<const ServedModel> model = segmenter_.model();
  absl::Status meant = serving::CheckServes(spec.name(), spec.version(), model->version);
  if (!meant.ok()) return meant;
  return model;
}

grpc::Status SegmenterService::Embed(grpc::ServerContext* call, const pb::EmbedRequest* request,
                                     pb::EmbedResponse* response) {
  const auto model = Choose(request->model());
  if (!model.ok()) return serving::ToGrpc(model.status());
  std::string storage;
  const absl::StatusOr<std::string_view> image = ReadImageBytes(
      request->image(), options_.image_root, segmenter_.image_limits().max_bytes, &storage);
  if (!image.ok()) return serving::ToGrpc(image.status());
  const absl::StatusOr<EmbedAnswer> answer =
      segmenter_.Embed(*image, RankOf(request->rank()), LimitsOf(call), *model);
  if (!answer.ok()) return serving::ToGrpc(answer.status());
  const vision::Size size = answer->embedding->geometry.original;
  response->set_image_id(answer->image_id);
  response->set_width(static_cast<std::uint32_t>(size.width));
  response->set_height(static_cast<std::uint32_t>(size.height));
  response->set_cached(answer->cached);
  response->set_model_version(answer->model->version);
  WriteSpec(*answer->model, response->mutable_model());
  WriteTimes(answer->times, response->mutable_timing());
  NoteTimes(response->timing(), answer->cached, *serving::RequestContextOf(*call));
  return grpc::Status::OK;
}

grpc::Status SegmenterService::Segment(grpc::ServerContext* call, const pb::SegmentRequest* request,
                                       pb::SegmentResponse* response) {
  const auto model = Choose(request->model());
  if (!model.ok()) return serving::ToGrpc(model.status());
  const absl::StatusOr<MaskFormats> formats = ReadFormats(*request);
  if (!formats.ok()) return serving::ToGrpc(formats.status());
  SegmentQuestion question;
  question.model = *model;
  std::string storage;
  if (request->has_image()) {
    const absl::StatusOr<std::string_view> image = ReadImageBytes(
        request->image(), options_.image_root, segmenter_.image_limits().max_bytes, &storage);
    if (!image.ok()) return serving::ToGrpc(image.status());
    question.image = *image;
  } else if (request->image_id().empty()) {
    return serving::ToGrpc(absl::InvalidArgumentError("neither image nor image_id is set"));
  }
  question.image_id = request->image_id();
  question.multimask_output = request->multimask_output();
  question.refine = request->refine();
  question.background = request->background();
  absl::StatusOr<std::vector<Prompt>> prompts = ReadPrompts(*request);
  if (!prompts.ok()) return serving::ToGrpc(prompts.status());
  question.prompts = *std::move(prompts);

  const absl::StatusOr<SegmentAnswer> answer = segmenter_.Segment(question, LimitsOf(call));
  if (!answer.ok()) return serving::ToGrpc(answer.status());

  const absl::Time begin = absl::Now();
  if (absl::Status status = WriteResults(*answer, *formats, response); !status.ok()) {
    return serving::ToGrpc(status);
  }
  const EmbedAnswer& image = answer->image;
  response->set_image_width(static_cast<std::uint32_t>(image.embedding->geometry.original.width));
  response->set_image_height(static_cast<std::uint32_t>(image.embedding->geometry.original.height));
  response->set_image_id(image.image_id);
  response->set_model_version(image.model->version);
  WriteSpec(*image.model, response->mutable_model());
  response->set_embedding_cached(image.cached);
  WriteTimes(image.times, response->mutable_timing());
  response->mutable_timing()->set_format_ms(Milliseconds(absl::Now() - begin));

  serving::RequestContext& context = *serving::RequestContextOf(*call);
  NoteTimes(response->timing(), image.cached, context);
  context.NoteInt("prompts", request->prompts_size());
  context.NoteNum("decode_masks_ms", response->timing().decode_masks_ms());
  context.NoteNum("format_ms", response->timing().format_ms());
  return grpc::Status::OK;
}

grpc::Status SegmenterService::SegmentEverything(
    grpc::ServerContext* call, const pb::SegmentEverythingRequest* request,
    grpc::ServerWriter<pb::SegmentEverythingResponse>* writer) {
  const auto model = Choose(request->model());
  if (!model.ok()) return serving::ToGrpc(model.status());
  const absl::StatusOr<MaskFormats> formats = ReadFormats(*request);
  if (!formats.ok()) return serving::ToGrpc(formats.status());
  if (formats->low_res_logits) {
    return serving::ToGrpc(
        absl::InvalidArgumentError("LOW_RES_LOGITS are not kept by SegmentEverything"));
  }
  GenerateQuestion question{
      .image_id = request->image_id(), .options = ReadOptions(*request), .model = *model};
  std::string storage;
  if (request->has_image()) {
    const absl::StatusOr<std::string_view> image = ReadImageBytes(
        request->image(), options_.image_root, segmenter_.image_limits().max_bytes, &storage);
    if (!image.ok()) return serving::ToGrpc(image.status());
    question.image = *image;
  } else if (request->image_id().empty()) {
    return serving::ToGrpc(absl::InvalidArgumentError("neither image nor image_id is set"));
  }
  const auto write = [&](pb::SegmentEverythingResponse& response) {
    WriteSpec(**model, response.mutable_model());
    return writer->Write(response) ? absl::OkStatus() : absl::CancelledError("the caller hung up");
  };
  const absl::StatusOr<GenerateAnswer> answer = segmenter_.Generate(
      question,
      [&](int done, int total) {
        pb::SegmentEverythingResponse response;
        response.mutable_progress()->set_prompts_done(static_cast<std::uint32_t>(done));
        response.mutable_progress()->set_prompts_total(static_cast<std::uint32_t>(total));
        return write(response);
      },
      LimitsOf(call));
  if (!answer.ok()) return serving::ToGrpc(answer.status());
  for (const GeneratedMask& generated : answer->masks) {
    pb::SegmentEverythingResponse response;
    absl::Status status = WriteGenerated(generated, *formats, response.mutable_mask());
    if (status.ok()) status = write(response);
    if (!status.ok()) return serving::ToGrpc(status);
  }
  serving::RequestContextOf(*call)->NoteInt("masks",
                                            static_cast<std::int64_t>(answer->masks.size()));
  return grpc::Status::OK;
}

grpc::Status SegmenterService::GetModel(grpc::ServerContext*, const pb::GetModelRequest* request,
                                        pb::GetModelResponse* response) {
  const auto model = Choose(request->model());
  if (!model.ok()) return serving::ToGrpc(model.status());
  WriteModel(**model, response->mutable_model());
  response->set_low_res_size(static_cast<std::uint32_t>((*model)->network->spec().low_res_size));
  return grpc::Status::OK;
}

grpc::Status SegmenterService::ReloadModel(grpc::ServerContext*,
                                           const duet::vision::v1::ReloadModelRequest* request,
                                           duet::vision::v1::ReloadModelResponse* response) {
  return serving::ToGrpc(Reload(*request, response));
}

absl::Status SegmenterService::Reload(const duet::vision::v1::ReloadModelRequest& request,
                                      duet::vision::v1::ReloadModelResponse* response) {
  if (!options_.enable_reload) {
    return absl::PermissionDeniedError("this process runs without --enable_reload");
  }
  if (request.has_config_file()) {
    return absl::InvalidArgumentError(
        "config_file is for the detector; a SAM checkpoint needs none");
  }
  std::lock_guard lock(reload_mutex_);
  const std::shared_ptr<const ServedModel> old = segmenter_.model();
  std::string path = old->path;
  std::string root = old->root;
  if (request.has_checkpoint()) {
    if (options_.model_root.empty()) {
      return absl::PermissionDeniedError(
          "ReloadModel reads no other files; start with --model_root");
    }
    const absl::StatusOr<serving::FileBelow> file =
        serving::OpenForClient(options_.model_root, request.checkpoint());
    if (!file.ok()) return file.status();
    path = file->path();
    root = options_.model_root;
  }
  absl::StatusOr<std::shared_ptr<const ServedModel>> model = LoadModel(path, old->options, root);
  if (!model.ok()) return model.status();
  if (absl::Status status = segmenter_.Swap(*model); !status.ok()) return status;
  WriteModel(**model, response->mutable_model());
  response->set_previous_version(old->version);
  response->set_peak_memory_bytes(serving::ResidentBytes());
  return absl::OkStatus();
}

}  // namespace segmenter
