// A segmenter behind a socket on a port of its own, and a client of it.
#ifndef DUET_TESTS_TESTING_SEGMENTER_SERVER_H_
#define DUET_TESTS_TESTING_SEGMENTER_SERVER_H_

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>
#include <utility>

#include "segmenter_service/rpc/segmenter_service.h"
#include "serving/clock.h"
#include "serving/grpc_server.h"
#include "serving/grpc_status.h"
#include "serving/metrics.h"

namespace duet_testing {

class SegmenterServer {
 public:
  // `load`: null for the service's own.
  explicit SegmenterServer(std::shared_ptr<const segmenter::ServedModel> model,
                           const std::string& image_root = "",
                           const model_service::ReloadOptions& reload = {},
                           const segmenter::ModelHost::Loader& load = nullptr)
      : engine_({}, serving::Clock::Real(), metrics_),
        host_(std::move(model), reload, load ? load : segmenter::LoaderWith(engine_)),
        images_(image_root, {}, metrics_),
        service_(&host_, &images_, &engine_),
        server_(serving::GrpcServer::Start({}, {&service_}, &metrics_).value()),
        stub_(duet::segmenter::v1::Segmenter::NewStub(grpc::CreateChannel(
            "127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()))) {}

  duet::segmenter::v1::Segmenter::Stub& stub() { return *stub_; }
  segmenter::Segmenter& engine() { return engine_; }
  segmenter::ModelHost& host() { return host_; }
  absl::Status WarmUp() { return engine_.WarmUp(*host_.Current()); }
  serving::Metrics& metrics() { return metrics_; }

  absl::StatusOr<duet::segmenter::v1::EmbedResponse> Embed(const std::string& image) {
    duet::segmenter::v1::EmbedRequest request;
    request.mutable_image()->set_data(image);
    grpc::ClientContext call;
    duet::segmenter::v1::EmbedResponse response;
    absl::Status status = serving::FromGrpc(stub_->Embed(&call, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<duet::segmenter::v1::SegmentResponse> Segment(
      const duet::segmenter::v1::SegmentRequest& request) {
    grpc::ClientContext call;
    duet::segmenter::v1::SegmentResponse response;
    absl::Status status = serving::FromGrpc(stub_->Segment(&call, request, &response));
    if (!status.ok()) return status;
    return response;
  }

 private:
  serving::Metrics metrics_;
  segmenter::Segmenter engine_;
  segmenter::ModelHost host_;
  model_service::ImageSource images_;
  segmenter::SegmenterService service_;
  std::unique_ptr<serving::GrpcServer> server_;
  std::unique_ptr<duet::segmenter::v1::Segmenter::Stub> stub_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_SEGMENTER_SERVER_H_
