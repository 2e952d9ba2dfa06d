// duet.segmenter.v1.Segmenter over the engine: messages in and out, masks rendered into the formats
// asked for.
#ifndef DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_
#define DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_

#include <mutex>
#include <string>

#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "segmenter_service/inference/segmenter.h"

namespace segmenter {

struct ServiceOptions {
  std::string image_root;      // files below it may be named in Image.uri; empty: none
  bool enable_reload = false;  // ReloadModel
  std::string model_root;      // what ReloadModel's paths are relative to
};

// Thread-safe, as gRPC needs it.
class SegmenterService final : public duet::segmenter::v1::Segmenter::Service {
 public:
  // `segmenter` must outlive the service.
  SegmenterService(const ServiceOptions& options, segmenter::Segmenter& segmenter)
      : options_(options), segmenter_(segmenter) {}

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

 private:
  // The model that serves, or FailedPrecondition unless it is what `spec` asks for.
  absl::StatusOr<std::shared_ptr<const ServedModel>> Choose(
      const duet::vision::v1::ModelSpec& spec) const;
  absl::Status Reload(const duet::vision::v1::ReloadModelRequest& request,
                      duet::vision::v1::ReloadModelResponse* response);

  const ServiceOptions options_;
  segmenter::Segmenter& segmenter_;
  std::mutex reload_mutex_;  // one at a time: each holds a second model in memory
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_SEGMENTER_SERVICE_H_
