#include "segmenter_service/rpc/segmenter_service.h"

#include <absl/status/status.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model_service/model_spec.h"
#include "segmenter_service/rpc/mask_message.h"
#include "segmenter_service/rpc/translate.h"
#include "serving/grpc_status.h"
#include "serving/rpc_interceptor.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

CallLimits LimitsOf(grpc::ServerContext* call) {
  return {.deadline = absl::FromChrono(call->deadline()),
          .is_cancelled = [call] { return call->IsCancelled(); },
          .request = serving::RequestContextOf(*call)};
}

void NoteTimes(const pb::Timing& timing, bool cached, serving::RequestContext& context) {
  context.NoteStr("embedding", cached ? "hit" : "miss");
  context.NoteNum("queue_ms", timing.queue_ms());
  context.NoteNum("decode_image_ms", timing.decode_image_ms());
  context.NoteNum("encode_ms", timing.encode_ms());
}

// The image's bytes, as a view into the message or into `*storage`; empty if the request has an
// image_id instead. InvalidArgument if it has neither.
template <typename Request>
absl::StatusOr<std::string_view> ReadImage(const Request& request,
                                           const model_service::ImageSource& images,
                                           std::string* storage) {
  if (request.has_image()) return images.Read(request.image(), storage);
  if (!request.image_id().empty()) return std::string_view();
  return absl::InvalidArgumentError("neither image nor image_id is set");
}

}  // namespace

absl::StatusOr<SegmenterService::Served> SegmenterService::FindModel(
    const duet::vision::v1::ModelSpec& spec, grpc::ServerContext* call) const {
  absl::StatusOr<Served> served =
      models_.Find(spec, {.deadline = absl::FromChrono(call->deadline()),
                          .is_cancelled = [call] { return call->IsCancelled(); }});
  if (!served.ok()) return served;
  absl::Status same = model_service::CheckVersion(spec, served->model->version);
  if (!same.ok()) return same;
  return served;
}

grpc::Status SegmenterService::Embed(grpc::ServerContext* call, const pb::EmbedRequest* request,
                                     pb::EmbedResponse* response) {
  const absl::StatusOr<Served> served = FindModel(request->model(), call);
  if (!served.ok()) return serving::ToGrpc(served.status());
  std::string storage;
  const absl::StatusOr<std::string_view> image = images_->Read(request->image(), &storage);
  if (!image.ok()) return serving::ToGrpc(image.status());
  const absl::StatusOr<EmbedResult> answer = engine_->Embed(
      served->model, *image, PriorityOf(request->rank()), LimitsOf(call), request->keep());
  if (!answer.ok()) return serving::ToGrpc(answer.status());
  if (request->keep()) response->set_kept_bytes(Segmenter::StoredBytes(*answer->model));
  const vision::Size size = answer->embedding->geometry.original;
  response->set_image_id(answer->image_id);
  response->set_width(static_cast<std::uint32_t>(size.width));
  response->set_height(static_cast<std::uint32_t>(size.height));
  response->set_cached(answer->cached);
  response->set_model_version(answer->model->version);
  model_service::WriteSpec(served->name, answer->model->version, response->mutable_model());
  WriteTimes(answer->times, response->mutable_timing());
  NoteTimes(response->timing(), answer->cached, *serving::RequestContextOf(*call));
  return grpc::Status::OK;
}

grpc::Status SegmenterService::Segment(grpc::ServerContext* call, const pb::SegmentRequest* request,
                                       pb::SegmentResponse* response) {
  const absl::StatusOr<Served> served = FindModel(request->model(), call);
  if (!served.ok()) return serving::ToGrpc(served.status());
  const absl::StatusOr<MaskFormats> formats = ReadFormats(*request);
  if (!formats.ok()) return serving::ToGrpc(formats.status());
  SegmentRequest engine_request;
  engine_request.model = served->model;
  std::string storage;
  const absl::StatusOr<std::string_view> image = ReadImage(*request, *images_, &storage);
  if (!image.ok()) return serving::ToGrpc(image.status());
  engine_request.image = *image;
  engine_request.image_id = request->image_id();
  engine_request.multimask_output = request->multimask_output();
  engine_request.refine = request->refine();
  engine_request.background = request->background();
  engine_request.hover = request->hover();
  absl::StatusOr<std::vector<Prompt>> prompts = ReadPrompts(*request);
  if (!prompts.ok()) return serving::ToGrpc(prompts.status());
  engine_request.prompts = *std::move(prompts);

  const absl::StatusOr<SegmentResult> answer = engine_->Segment(engine_request, LimitsOf(call));
  if (!answer.ok()) return serving::ToGrpc(answer.status());

  const absl::Time begin = absl::Now();
  if (absl::Status status = WriteResults(*answer, *formats, response); !status.ok()) {
    return serving::ToGrpc(status);
  }
  const EmbedResult& embedded = answer->image;
  response->set_image_width(
      static_cast<std::uint32_t>(embedded.embedding->geometry.original.width));
  response->set_image_height(
      static_cast<std::uint32_t>(embedded.embedding->geometry.original.height));
  response->set_image_id(embedded.image_id);
  response->set_model_version(embedded.model->version);
  model_service::WriteSpec(served->name, embedded.model->version, response->mutable_model());
  response->set_embedding_cached(embedded.cached);
  WriteTimes(embedded.times, response->mutable_timing());
  response->mutable_timing()->set_format_ms(
      static_cast<float>(absl::ToDoubleMilliseconds(absl::Now() - begin)));

  serving::RequestContext& context = *serving::RequestContextOf(*call);
  NoteTimes(response->timing(), embedded.cached, context);
  context.NoteInt("prompts", request->prompts_size());
  context.NoteNum("decode_masks_ms", response->timing().decode_masks_ms());
  context.NoteNum("format_ms", response->timing().format_ms());
  return grpc::Status::OK;
}

grpc::Status SegmenterService::SegmentEverything(
    grpc::ServerContext* call, const pb::SegmentEverythingRequest* request,
    grpc::ServerWriter<pb::SegmentEverythingResponse>* writer) {
  const absl::StatusOr<Served> served = FindModel(request->model(), call);
  if (!served.ok()) return serving::ToGrpc(served.status());
  const absl::StatusOr<MaskFormats> formats = ReadFormats(*request);
  if (!formats.ok()) return serving::ToGrpc(formats.status());
  if (formats->low_res_logits) {
    return serving::ToGrpc(
        absl::InvalidArgumentError("LOW_RES_LOGITS are not kept by SegmentEverything"));
  }
  GenerateRequest engine_request{
      .image_id = request->image_id(), .options = ReadOptions(*request), .model = served->model};
  std::string storage;
  const absl::StatusOr<std::string_view> image = ReadImage(*request, *images_, &storage);
  if (!image.ok()) return serving::ToGrpc(image.status());
  engine_request.image = *image;
  const auto write = [&](pb::SegmentEverythingResponse& response) {
    model_service::WriteSpec(served->name, served->model->version, response.mutable_model());
    return writer->Write(response) ? absl::OkStatus() : absl::CancelledError("the caller hung up");
  };
  const absl::StatusOr<GenerateResult> answer = engine_->Generate(
      engine_request,
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

grpc::Status SegmenterService::GetModel(grpc::ServerContext* call,
                                        const pb::GetModelRequest* request,
                                        pb::GetModelResponse* response) {
  const absl::StatusOr<Served> served = FindModel(request->model(), call);
  if (!served.ok()) return serving::ToGrpc(served.status());
  WriteModelInfo(*served->model, response->mutable_model());
  response->mutable_model()->set_served_as(served->name);
  response->set_low_res_size(
      static_cast<std::uint32_t>(served->model->network->spec().low_res_size));
  response->set_encoder(served->model->encoder);
  response->set_embedding_bytes(Segmenter::StoredBytes(*served->model));
  if (const std::optional<Retention> retention = engine_->retention()) {
    auto* const store = response->mutable_embedding_store();
    store->set_budget_bytes(static_cast<std::uint64_t>(retention->budget_bytes));
    if (retention->time < absl::InfiniteDuration()) {
      store->set_kept_for_s(static_cast<std::uint64_t>(absl::ToInt64Seconds(retention->time)));
    }
  }
  return grpc::Status::OK;
}

grpc::Status SegmenterService::ReloadModel(grpc::ServerContext* call,
                                           const duet::vision::v1::ReloadModelRequest* request,
                                           duet::vision::v1::ReloadModelResponse* response) {
  if (request->has_config_file()) {
    return serving::ToGrpc(
        absl::InvalidArgumentError("config_file is for the detector; a SAM checkpoint needs none"));
  }
  const absl::StatusOr<model_service::Reloaded<const ServedModel>> reloaded =
      models_.host().Reload(*request);
  if (!reloaded.ok()) return serving::ToGrpc(reloaded.status());
  WriteModelInfo(*reloaded->model, response->mutable_model());
  response->mutable_model()->set_served_as(model_service::kDefaultModel);
  response->set_previous_version(reloaded->previous->version);
  response->set_peak_memory_bytes(reloaded->peak_memory_bytes);
  serving::RequestContextOf(*call)->NoteStr("model_version", reloaded->model->version);
  return grpc::Status::OK;
}

grpc::Status SegmenterService::ListModels(grpc::ServerContext* /*call*/,
                                          const duet::vision::v1::ListModelsRequest* /*request*/,
                                          duet::vision::v1::ListModelsResponse* response) {
  const std::shared_ptr<const ServedModel> model = models_.host().Current();
  duet::vision::v1::ModelStatus status;
  status.set_version(model->version);
  status.set_memory_bytes(model->parameter_count * sizeof(float));
  return serving::ToGrpc(models_.List(std::move(status), response));
}

}  // namespace segmenter
