#include "tests/bench/gateway/stub_services.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <stdexcept>
#include <thread>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "duet/segmenter/v1/segmenter.grpc.pb.h"

namespace gateway::bench {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;

constexpr int kWidth = 640;
constexpr int kHeight = 480;
constexpr int kObjects = 3;

}  // namespace

class StubServices::Detector final : public detector::Detector::Service {
 public:
  explicit Detector(const StubServices& owner) : owner_(owner) {}

  grpc::Status Detect(grpc::ServerContext*, const detector::DetectRequest*,
                      detector::DetectResponse* response) override {
    owner_.Pause();
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    response->set_model_version("stub");
    for (int i = 0; i < kObjects; ++i) {
      auto* const found = response->add_detections();
      found->set_label("cat");
      found->set_score(0.9f);
      found->mutable_box()->set_x_min(static_cast<float>(40 * i));
      found->mutable_box()->set_y_min(20);
      found->mutable_box()->set_x_max(static_cast<float>(40 * i + 100));
      found->mutable_box()->set_y_max(220);
    }
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext*, const detector::GetModelRequest*,
                        detector::GetModelResponse* response) override {
    response->mutable_model()->set_name("stub");
    response->mutable_model()->set_version("stub");
    response->add_classes("cat");
    return grpc::Status::OK;
  }

 private:
  const StubServices& owner_;
};

class StubServices::Segmenter final : public segmenter::Segmenter::Service {
 public:
  explicit Segmenter(const StubServices& owner) : owner_(owner) {}

  grpc::Status Embed(grpc::ServerContext*, const segmenter::EmbedRequest*,
                     segmenter::EmbedResponse* response) override {
    owner_.Pause();
    response->set_cached(true);
    return grpc::Status::OK;
  }
  // A filled rectangle for every prompt.
  grpc::Status Segment(grpc::ServerContext*, const segmenter::SegmentRequest* request,
                       segmenter::SegmentResponse* response) override {
    owner_.Pause();
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    response->set_model_version("stub");
    for (int i = 0; i < request->prompts_size(); ++i) {
      auto* const mask = response->add_results()->add_masks();
      mask->set_iou_score(0.8f);
      auto* const runs = mask->mutable_row_runs();
      runs->set_width(kWidth);
      runs->set_height(kHeight);
      runs->add_counts(20 * kWidth + 40 * i);
      for (int y = 0; y < 200; ++y) {
        runs->add_counts(100);
        runs->add_counts(y < 199 ? kWidth - 100 : 261 * kWidth - 100 - 40 * i);
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext*, const segmenter::GetModelRequest*,
                        segmenter::GetModelResponse* response) override {
    response->mutable_model()->set_name("stub");
    response->mutable_model()->set_version("stub");
    return grpc::Status::OK;
  }

 private:
  const StubServices& owner_;
};

StubServices::StubServices()
    : detector_(std::make_unique<Detector>(*this)), segmenter_(std::make_unique<Segmenter>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(detector_.get());
  builder.RegisterService(segmenter_.get());
  server_ = builder.BuildAndStart();
  if (!server_) throw std::runtime_error("the stub services cannot listen");
}

StubServices::~StubServices() { server_->Shutdown(std::chrono::system_clock::now()); }

void StubServices::Pause() const {
  const std::chrono::milliseconds pause(pause_ms_);
  if (pause.count() > 0) std::this_thread::sleep_for(pause);
}

}  // namespace gateway::bench
