// duet.segmenter.v1.Segmenter over ServedModels and the engine: messages in and out, masks rendered
// into the formats asked for.
#ifndef DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_
#define DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_

#include <absl/status/statusor.h>

#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "model_service/image_source.h"
#include "model_service/served_models.h"
#include "segmenter_service/inference/segmenter.h"
#include "segmenter_service/rpc/model_host.h"

namespace segmenter {

// Thread-safe, as gRPC needs it.
class SegmenterService final : public duet::segmenter::v1::Segmenter::Service {
 public:
  // What is pointed to must outlive the service. `named` may be null: there is one model only.
  SegmenterService(ModelHost* host, const model_service::ImageSource* images, Segmenter* engine,
                   model_service::NamedModels* named = nullptr)
      : models_(host, named), images_(images), engine_(engine) {}

  grpc::Status Embed(grpc::ServerContext* call, const duet::segmenter::v1::EmbedRequest* request,
                     duet::segmenter::v1::EmbedResponse* response) override;
  grpc::Status Segment(grpc::ServerContext* call,
                       const duet::segmenter::v1::SegmentRequest* request,
                       duet::segmenter::v1::SegmentResponse* response) override;
  grpc::Status SegmentEverything(
      grpc::ServerContext* call, const duet::segmenter::v1::SegmentEverythingRequest* request,
      grpc::ServerWriter<duet::segmenter::v1::SegmentEverythingResponse>* writer) override;
  grpc::Status GetModel(grpc::ServerContext* call,
                        const duet::segmenter::v1::GetModelRequest* request,
                        duet::segmenter::v1::GetModelResponse* response) override;
  grpc::Status ReloadModel(grpc::ServerContext* call,
                           const duet::vision::v1::ReloadModelRequest* request,
                           duet::vision::v1::ReloadModelResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* call,
                          const duet::vision::v1::ListModelsRequest* request,
                          duet::vision::v1::ListModelsResponse* response) override;

 private:
  using Served = model_service::Served<const ServedModel>;

  // The model that serves; FailedPrecondition unless it is what `spec` asks for.
  absl::StatusOr<Served> FindModel(const duet::vision::v1::ModelSpec& spec,
                                   grpc::ServerContext* call) const;

  const model_service::ServedModels<const ServedModel> models_;
  const model_service::ImageSource* const images_;
  Segmenter* const engine_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_
