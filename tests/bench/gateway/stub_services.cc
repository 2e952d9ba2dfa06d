#include "tests/bench/gateway/stub_services.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <boost/asio/steady_timer.hpp>
#include <stdexcept>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "tests/testing/service_answers.h"

namespace gateway::bench {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;

constexpr int kWidth = 640;
constexpr int kHeight = 480;
constexpr int kObjects = 3;

duet_testing::PixelBox BoxOf(int object) { return {40 * object, 20, 40 * object + 100, 220}; }

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* call) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace

class StubServices::Detector final : public detector::Detector::CallbackService {
 public:
  explicit Detector(StubServices& owner) : owner_(owner) {}

  grpc::ServerUnaryReactor* Detect(grpc::CallbackServerContext* call,
                                   const detector::DetectRequest*,
                                   detector::DetectResponse* response) override {
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    response->set_model_version("stub");
    for (int i = 0; i < kObjects; ++i) duet_testing::AddCat(BoxOf(i), response);
    return owner_.FinishLater(call);
  }
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call,
                                     const detector::GetModelRequest*,
                                     detector::GetModelResponse* response) override {
    response->mutable_model()->set_name("stub");
    response->mutable_model()->set_version("stub");
    response->add_classes("cat");
    return Finish(call);
  }

 private:
  StubServices& owner_;
};

class StubServices::Segmenter final : public segmenter::Segmenter::CallbackService {
 public:
  explicit Segmenter(StubServices& owner) : owner_(owner) {}

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* call, const segmenter::EmbedRequest*,
                                  segmenter::EmbedResponse* response) override {
    response->set_cached(true);
    response->set_model_version("stub");
    return owner_.FinishLater(call);
  }
  // A filled rectangle for every prompt.
  grpc::ServerUnaryReactor* Segment(grpc::CallbackServerContext* call,
                                    const segmenter::SegmentRequest* request,
                                    segmenter::SegmentResponse* response) override {
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    response->set_model_version("stub");
    for (int i = 0; i < request->prompts_size(); ++i) {
      auto* const mask = response->add_results()->add_masks();
      mask->set_iou_score(0.8f);
      duet_testing::FillBox(kWidth, kHeight, BoxOf(i), mask->mutable_row_runs());
    }
    return owner_.FinishLater(call);
  }
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call,
                                     const segmenter::GetModelRequest*,
                                     segmenter::GetModelResponse* response) override {
    response->mutable_model()->set_name("stub");
    response->mutable_model()->set_version("stub");
    return Finish(call);
  }

 private:
  StubServices& owner_;
};

StubServices::StubServices()
    : detector_(std::make_unique<Detector>(*this)),
      segmenter_(std::make_unique<Segmenter>(*this)),
      clock_([this] { io_.run(); }) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);  // as serving::GrpcServer
  builder.RegisterService(detector_.get());
  builder.RegisterService(segmenter_.get());
  server_ = builder.BuildAndStart();
  if (!server_) throw std::runtime_error("the stub services cannot listen");
}

StubServices::~StubServices() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  io_.stop();
  clock_.join();
}

grpc::ServerUnaryReactor* StubServices::FinishLater(grpc::CallbackServerContext* call) {
  const std::chrono::milliseconds pause(pause_ms_);
  if (pause.count() == 0) return Finish(call);
  const auto timer = std::make_shared<boost::asio::steady_timer>(io_, pause);
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  timer->async_wait([timer, reactor](const auto&) { reactor->Finish(grpc::Status::OK); });
  return reactor;
}

}  // namespace gateway::bench
