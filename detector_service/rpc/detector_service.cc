#include "detector_service/rpc/detector_service.h"

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <utility>

#include "detector_service/rpc/answer_in_order.h"
#include "detector_service/rpc/translate.h"
#include "nn/threads.h"
#include "serving/grpc_status.h"
#include "serving/rpc_interceptor.h"

namespace detector {
namespace {

namespace proto = duet::detector::v1;

// A person waits for Detect; nobody waits for one picture of a batch.
constexpr int kDetectRank = 0;
constexpr int kBatchRank = 1;

constexpr int kWorkers = 2;

}  // namespace

DetectorService::DetectorService(const ServiceOptions& options, ModelHost* host,
                                 const PictureSource* pictures, serving::Clock* clock,
                                 serving::Metrics* metrics)
    : options_(options),
      host_(host),
      pictures_(pictures),
      clock_(clock),
      metrics_(metrics),
      queue_({.name = "detect", .capacity = options.queue_size, .threads = kWorkers}, *clock,
             metrics) {}

absl::Status DetectorService::Compute(const proto::DetectRequest& request,
                                      proto::DetectResponse* response) {
  nn::UseThreads(options_.threads);
  const std::shared_ptr<DetectionModel> model = host_->Current();
  // Again: a reload may have come between.
  if (const absl::Status meant = CheckSpec(request.model(), *model); !meant.ok()) return meant;
  const absl::StatusOr<DetectOptions> options = ReadOptions(request, *model);
  if (!options.ok()) return options.status();

  const absl::Time start = clock_->Now();
  const absl::StatusOr<cv::Mat> picture = pictures_->Decode(request.image());
  if (!picture.ok()) return picture.status();
  const absl::Time decoded = clock_->Now();
  const absl::StatusOr<std::vector<Detection>> found = model->Detect(*picture, *options);
  if (!found.ok()) return found.status();
  const absl::Time done = clock_->Now();

  WriteResponse(*found, *model, {picture->cols, picture->rows}, response);
  response->mutable_timing()->set_decode_ms(absl::ToDoubleMilliseconds(decoded - start));
  response->mutable_timing()->set_model_ms(absl::ToDoubleMilliseconds(done - decoded));
  metrics_->Get(kStageSeconds, {"decode"}).Observe(absl::ToDoubleSeconds(decoded - start));
  metrics_->Get(kStageSeconds, {"model"}).Observe(absl::ToDoubleSeconds(done - decoded));
  metrics_->Get(kDetections).Increment(static_cast<double>(found->size()));
  return absl::OkStatus();
}

absl::Status DetectorService::Answer(grpc::ServerContext* call, int rank,
                                     const proto::DetectRequest& request,
                                     proto::DetectResponse* response) {
  // What is wrong with the request itself is told before it takes a place in the queue.
  {
    const std::shared_ptr<DetectionModel> model = host_->Current();
    if (const absl::Status meant = CheckSpec(request.model(), *model); !meant.ok()) return meant;
    if (const auto options = ReadOptions(request, *model); !options.ok()) return options.status();
  }
  absl::Status computed;
  absl::Duration queued;
  const absl::Status served = queue_.Run({.rank = rank,
                                          .deadline = absl::FromChrono(call->deadline()),
                                          .is_cancelled = [call] { return call->IsCancelled(); },
                                          .run =
                                              [&](absl::Duration waited) {
                                                queued = waited;
                                                computed = Compute(request, response);
                                              }});
  if (!served.ok()) return served;
  response->mutable_timing()->set_queue_ms(absl::ToDoubleMilliseconds(queued));
  return computed;
}

grpc::Status DetectorService::Detect(grpc::ServerContext* call, const proto::DetectRequest* request,
                                     proto::DetectResponse* response) {
  const int rank = request->background() ? kBatchRank : kDetectRank;
  const absl::Status status = Answer(call, rank, *request, response);
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
    grpc::ServerReaderWriter<proto::DetectBatchResponse, proto::DetectBatchRequest>* stream) {
  int pictures = 0;
  int failed = 0;
  const absl::Status status = AnswerInOrder<proto::DetectBatchRequest, proto::DetectBatchResponse>(
      kWorkers, [&](proto::DetectBatchRequest* request) { return stream->Read(request); },
      [&](const proto::DetectBatchRequest& request, proto::DetectBatchResponse* answer) {
        answer->set_id(request.id());
        const absl::Status status =
            Answer(call, kBatchRank, request.request(), answer->mutable_response());
        // The caller is gone or out of time: nobody reads further answers.
        if (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status)) return status;
        if (!status.ok()) {
          answer->mutable_error()->set_code(static_cast<int>(status.code()));
          answer->mutable_error()->set_message(std::string(status.message()));
        }
        return absl::OkStatus();
      },
      [&](const proto::DetectBatchResponse& answer) {
        ++pictures;
        if (answer.has_error()) ++failed;
        return stream->Write(answer);
      });
  if (!status.ok()) return serving::ToGrpc(status);
  const auto context = serving::RequestContextOf(*call);
  context->NoteInt("pictures", pictures);
  context->NoteInt("failed", failed);
  return grpc::Status::OK;
}

grpc::Status DetectorService::GetModel(grpc::ServerContext* /*call*/,
                                       const proto::GetModelRequest* request,
                                       proto::GetModelResponse* response) {
  const std::shared_ptr<DetectionModel> model = host_->Current();
  if (const absl::Status meant = CheckSpec(request->model(), *model); !meant.ok()) {
    return serving::ToGrpc(meant);
  }
  WriteModelInfo(*model, response->mutable_model());
  response->mutable_classes()->Add(model->classes().begin(), model->classes().end());
  response->set_has_masks(model->has_masks());
  response->set_has_rotated_boxes(model->has_rotated_boxes());
  response->set_score_threshold(static_cast<float>(model->settings().score_threshold));
  response->set_nms_iou_threshold(static_cast<float>(model->settings().nms_iou_threshold));
  response->set_max_detections(model->settings().max_per_img);
  return grpc::Status::OK;
}

grpc::Status DetectorService::ReloadModel(grpc::ServerContext* call,
                                          const duet::vision::v1::ReloadModelRequest* request,
                                          duet::vision::v1::ReloadModelResponse* response) {
  std::optional<std::string> checkpoint;
  std::optional<std::string> config_file;
  if (request->has_checkpoint()) checkpoint = request->checkpoint();
  if (request->has_config_file()) config_file = request->config_file();
  const absl::StatusOr<Reloaded> reloaded = host_->Reload(checkpoint, config_file);
  if (!reloaded.ok()) return serving::ToGrpc(reloaded.status());
  WriteModelInfo(*reloaded->model, response->mutable_model());
  response->set_previous_version(reloaded->previous_version);
  response->set_peak_memory_bytes(reloaded->peak_memory_bytes);
  serving::RequestContextOf(*call)->NoteStr("model_version", reloaded->model->version());
  return grpc::Status::OK;
}

}  // namespace detector
