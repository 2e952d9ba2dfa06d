#include "detector_service/rpc/detector_service.h"

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <utility>

#include "detector_service/rpc/answer_in_order.h"
#include "model_service/model_spec.h"
#include "nn/threads.h"
#include "serving/grpc_status.h"
#include "serving/rpc_interceptor.h"
#include "tracing/span.h"

namespace detector {
namespace {

namespace pb = duet::detector::v1;

constexpr int kWorkers = 2;

model_service::WaitLimits LimitsOf(const grpc::ServerContext* call) {
  return {.deadline = absl::FromChrono(call->deadline()),
          .is_cancelled = [call] { return call->IsCancelled(); }};
}

}  // namespace

DetectorService::DetectorService(const ServiceOptions& options, ModelHost* host,
                                 const model_service::ImageSource* images, serving::Clock* clock,
                                 serving::Metrics* metrics, model_service::NamedModels* named)
    : options_(options),
      models_(host, named),
      images_(images),
      clock_(clock),
      metrics_(metrics),
      queue_({.name = "detect", .capacity = options.queue_size, .threads = kWorkers}, *clock,
             metrics) {}

absl::StatusOr<DetectorService::Job> DetectorService::ReadJob(const pb::DetectRequest& request,
                                                              const ServedModel& served) const {
  Job job{.name = served.name,
          .model = served.model,
          .named = served.is_default() ? nullptr : served.model,
          .options = {},
          .slicing = {},
          .formats = {}};
  absl::Status same = model_service::CheckVersion(request.model(), served.model->version());
  if (!same.ok()) return same;
  absl::StatusOr<DetectOptions> options = ReadOptions(request, *served.model);
  if (!options.ok()) return options.status();
  job.options = *std::move(options);
  absl::StatusOr<std::optional<SlicingOptions>> slicing =
      ReadSlicing(request, job.options, *served.model);
  if (!slicing.ok()) return slicing.status();
  job.slicing = *std::move(slicing);
  const absl::StatusOr<MaskFormats> formats = ReadFormats(request);
  if (!formats.ok()) return formats.status();
  job.formats = *formats;
  return job;
}

absl::Status DetectorService::Compute(Job job, const pb::DetectRequest& request,
                                      const model_service::WaitLimits& limits,
                                      const serving::RequestContext* caller,
                                      pb::DetectResponse* response) {
  nn::UseThreads(options_.threads);
  const std::shared_ptr<DetectionModel> model =
      job.named != nullptr ? job.named : models_.host().Current();
  if (job.model.lock() != model) {  // a reload came between
    absl::StatusOr<Job> again = ReadJob(request, {model, job.name});
    if (!again.ok()) return again.status();
    job = *std::move(again);
  }
  const absl::Time start = clock_->Now();
  const absl::StatusOr<cv::Mat> image = images_->Decode(request.image(), caller);
  if (!image.ok()) return image.status();
  const absl::Time decoded = clock_->Now();
  tracing::Record(caller->traceparent(), "decode image", start, decoded);
  const bool in_slices = job.slicing && NeedsSlices({image->cols, image->rows}, *job.slicing);
  const absl::StatusOr<std::vector<Detection>> found =
      in_slices ? DetectInSlices(*model, *image, job.options, *job.slicing,
                                 [&] { return SomebodyWaits(limits); })
                : model->Detect(*image, job.options);
  if (!found.ok()) return found.status();
  const absl::Time done = clock_->Now();
  tracing::Record(caller->traceparent(), in_slices ? "detect in slices" : "detect", decoded, done);

  WriteResponse(*found, *model, {image->cols, image->rows}, job.formats, response);
  model_service::WriteSpec(job.name, model->version(), response->mutable_model());
  response->mutable_timing()->set_decode_ms(absl::ToDoubleMilliseconds(decoded - start));
  response->mutable_timing()->set_model_ms(absl::ToDoubleMilliseconds(done - decoded));
  metrics_->Get(kStageSeconds, {"decode"}).Observe(absl::ToDoubleSeconds(decoded - start));
  metrics_->Get(kStageSeconds, {"model"}).Observe(absl::ToDoubleSeconds(done - decoded));
  metrics_->Get(kDetections).Increment(static_cast<double>(found->size()));
  return absl::OkStatus();
}

absl::Status DetectorService::SomebodyWaits(const model_service::WaitLimits& limits) const {
  if (limits.is_cancelled()) return absl::CancelledError("the caller is gone");
  if (clock_->Now() >= limits.deadline) {
    return absl::DeadlineExceededError("the deadline has passed between two tiles");
  }
  return absl::OkStatus();
}

absl::Status DetectorService::Answer(grpc::ServerContext* call, serving::Priority priority,
                                     const pb::DetectRequest& request,
                                     pb::DetectResponse* response) {
  // A request that can't be answered is refused before it takes a place in the queue.
  const absl::StatusOr<ServedModel> model = models_.Find(request.model(), LimitsOf(call));
  if (!model.ok()) return model.status();
  absl::StatusOr<Job> job = ReadJob(request, *model);
  if (!job.ok()) return job.status();
  const std::shared_ptr<const serving::RequestContext> caller = serving::RequestContextOf(*call);
  absl::Status computed;
  absl::Duration queued;
  const absl::Status served = queue_.Run(
      {.priority = priority,
       .deadline = absl::FromChrono(call->deadline()),
       .is_cancelled = [call] { return call->IsCancelled(); },
       .run =
           [&](absl::Duration waited) {
             queued = waited;
             const absl::Time begun = clock_->Now();
             tracing::Record(caller->traceparent(), "wait in queue", begun - waited, begun);
             computed = Compute(*std::move(job), request, LimitsOf(call), caller.get(), response);
           }});
  if (!served.ok()) return served;
  response->mutable_timing()->set_queue_ms(absl::ToDoubleMilliseconds(queued));
  return computed;
}

grpc::Status DetectorService::Detect(grpc::ServerContext* call, const pb::DetectRequest* request,
                                     pb::DetectResponse* response) {
  const serving::Priority priority =
      request->background() ? serving::Priority::kBatch : serving::Priority::kInteractive;
  const absl::Status status = Answer(call, priority, *request, response);
  if (status.ok()) {
    const auto context = serving::RequestContextOf(*call);
    context->NoteNum("queue_ms", response->timing().queue_ms());
    context->NoteNum("decode_ms", response->timing().decode_ms());
    context->NoteNum("model_ms", response->timing().model_ms());
    context->NoteInt("detections", response->detections_size());
  }
  return serving::ToGrpc(status);
}

grpc::Status DetectorService::DetectBatch(
    grpc::ServerContext* call,
    grpc::ServerReaderWriter<pb::DetectBatchResponse, pb::DetectBatchRequest>* stream) {
  int images = 0;
  int failed = 0;
  const absl::Status status = AnswerInOrder<pb::DetectBatchRequest, pb::DetectBatchResponse>(
      kWorkers, [&](pb::DetectBatchRequest* request) { return stream->Read(request); },
      [&](const pb::DetectBatchRequest& request, pb::DetectBatchResponse* answer) {
        answer->set_id(request.id());
        const absl::Status status =
            Answer(call, serving::Priority::kBatch, request.request(), answer->mutable_response());
        // The caller is gone or out of time: nobody reads further answers.
        if (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status)) return status;
        if (!status.ok()) {
          answer->mutable_error()->set_code(static_cast<int>(status.code()));
          answer->mutable_error()->set_message(std::string(status.message()));
        }
        return absl::OkStatus();
      },
      [&](const pb::DetectBatchResponse& answer) {
        ++images;
        if (answer.has_error()) ++failed;
        return stream->Write(answer);
      });
  if (!status.ok()) return serving::ToGrpc(status);
  const auto context = serving::RequestContextOf(*call);
  context->NoteInt("images", images);
  context->NoteInt("failed", failed);
  return grpc::Status::OK;
}

grpc::Status DetectorService::GetModel(grpc::ServerContext* call,
                                       const pb::GetModelRequest* request,
                                       pb::GetModelResponse* response) {
  const absl::StatusOr<ServedModel> served = models_.Find(request->model(), LimitsOf(call));
  if (!served.ok()) return serving::ToGrpc(served.status());
  const DetectionModel& model = *served->model;
  const absl::Status same = model_service::CheckVersion(request->model(), model.version());
  if (!same.ok()) return serving::ToGrpc(same);
  WriteModelInfo(model, response->mutable_model());
  response->mutable_model()->set_served_as(served->name);
  response->mutable_classes()->Add(model.classes().begin(), model.classes().end());
  response->set_has_masks(model.has_masks());
  response->set_has_rotated_boxes(model.has_rotated_boxes());
  response->set_score_threshold(static_cast<float>(model.settings().score_threshold));
  response->set_nms_iou_threshold(static_cast<float>(model.settings().nms_iou_threshold));
  response->set_max_detections(model.settings().max_per_img);
  return grpc::Status::OK;
}

grpc::Status DetectorService::ReloadModel(grpc::ServerContext* call,
                                          const duet::vision::v1::ReloadModelRequest* request,
                                          duet::vision::v1::ReloadModelResponse* response) {
  const absl::StatusOr<model_service::Reloaded<DetectionModel>> reloaded =
      models_.host().Reload(*request);
  if (!reloaded.ok()) return serving::ToGrpc(reloaded.status());
  WriteModelInfo(*reloaded->model, response->mutable_model());
  response->mutable_model()->set_served_as(model_service::kDefaultModel);
  response->set_previous_version(reloaded->previous->version());
  response->set_peak_memory_bytes(reloaded->peak_memory_bytes);
  serving::RequestContextOf(*call)->NoteStr("model_version", reloaded->model->version());
  return grpc::Status::OK;
}

grpc::Status DetectorService::ListModels(grpc::ServerContext* /*call*/,
                                         const duet::vision::v1::ListModelsRequest* /*request*/,
                                         duet::vision::v1::ListModelsResponse* response) {
  const std::shared_ptr<DetectionModel> model = models_.host().Current();
  duet::vision::v1::ModelStatus status;
  status.set_version(model->version());
  status.set_memory_bytes(model->parameter_count() * sizeof(float));
  return serving::ToGrpc(models_.List(std::move(status), response));
}

}  // namespace detector
