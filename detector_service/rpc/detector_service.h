// duet.detector.v1.Detector over ServedModels: checks requests, queues them, translates. No
// arithmetic here.
//
// Threads: gRPC's handlers block in the queue. Two workers run what leaves it, so that one decodes
// an image while the other one computes (the model takes one caller at a time).
#ifndef DUET_DETECTOR_SERVICE_RPC_DETECTOR_SERVICE_H_
#define DUET_DETECTOR_SERVICE_RPC_DETECTOR_SERVICE_H_

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>

#include "detector_service/rpc/model_host.h"
#include "detector_service/rpc/translate.h"
#include "duet/detector/v1/detector.grpc.pb.h"
#include "model_service/image_source.h"
#include "model_service/served_models.h"
#include "serving/clock.h"
#include "serving/metrics.h"
#include "serving/work_queue.h"

namespace detector {

inline constexpr serving::CounterSpec kDetections{"duet_detector_detections_total",
                                                  "Detections returned."};
inline constexpr serving::HistogramSpec kStageSeconds{
    "duet_detector_stage_seconds", "Time in a part of a request; stage: decode, model.", "stage"};

struct ServiceOptions {
  int queue_size = 32;
  int threads = 1;  // that compute
};

class DetectorService final : public duet::detector::v1::Detector::Service {
 public:
  // What is pointed to must outlive the service. `named` may be null: there is one model only.
  DetectorService(const ServiceOptions& options, ModelHost* host,
                  const model_service::ImageSource* images, serving::Clock* clock,
                  serving::Metrics* metrics, model_service::NamedModels* named = nullptr);

  grpc::Status Detect(grpc::ServerContext* call, const duet::detector::v1::DetectRequest* request,
                      duet::detector::v1::DetectResponse* response) override;
  grpc::Status DetectBatch(
      grpc::ServerContext* call,
      grpc::ServerReaderWriter<duet::detector::v1::DetectBatchResponse,
                               duet::detector::v1::DetectBatchRequest>* stream) override;
  grpc::Status GetModel(grpc::ServerContext* call,
                        const duet::detector::v1::GetModelRequest* request,
                        duet::detector::v1::GetModelResponse* response) override;
  grpc::Status ReloadModel(grpc::ServerContext* call,
                           const duet::vision::v1::ReloadModelRequest* request,
                           duet::vision::v1::ReloadModelResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* call,
                          const duet::vision::v1::ListModelsRequest* request,
                          duet::vision::v1::ListModelsResponse* response) override;

 private:
  using ServedModel = model_service::Served<DetectionModel>;

  // What a request asks of a model. Waiting in the queue it keeps a named model in memory, whose
  // budget counts it, but no default model that was replaced.
  struct Job {
    std::string name;
    std::weak_ptr<DetectionModel> model;
    std::shared_ptr<DetectionModel> named;  // null for the default model
    DetectOptions options;
    std::optional<SlicingOptions> slicing;
    MaskFormats formats;
  };
  // FailedPrecondition or InvalidArgument for a request that can't be answered.
  absl::StatusOr<Job> ReadJob(const duet::detector::v1::DetectRequest& request,
                              const ServedModel& served) const;
  absl::Status Answer(grpc::ServerContext* call, serving::Priority priority,
                      const duet::detector::v1::DetectRequest& request,
                      duet::detector::v1::DetectResponse* response);
  // On a worker.
  absl::Status Compute(Job job, const duet::detector::v1::DetectRequest& request,
                       const model_service::WaitLimits& limits,
                       const serving::RequestContext* caller,
                       duet::detector::v1::DetectResponse* response);
  // Cancelled or DeadlineExceeded once nobody waits any more.
  absl::Status SomebodyWaits(const model_service::WaitLimits& limits) const;

  const ServiceOptions options_;
  const model_service::ServedModels<DetectionModel> models_;
  const model_service::ImageSource* const images_;
  serving::Clock* const clock_;
  serving::Metrics* const metrics_;
  serving::WorkQueue queue_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_DETECTOR_SERVICE_H_
