#include "tests/integration/gateway/fake_services.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>

#include "hash/sha256.h"
#include "tests/testing/service_answers.h"

namespace gateway::testing {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;

constexpr int kWidth = 320;
constexpr int kHeight = 240;

std::string Metadata(const grpc::ServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

}  // namespace

std::string ImageId(const std::string& bytes) { return hash::Sha256Hex(bytes); }

void FakeServices::Serve(std::string detector_version, std::string segmenter_version) {
  const std::lock_guard lock(mutex_);
  detector_version_ = std::move(detector_version);
  segmenter_version_ = std::move(segmenter_version);
}

std::string FakeServices::detector_version() const {
  const std::lock_guard lock(mutex_);
  return detector_version_;
}

std::string FakeServices::segmenter_version() const {
  const std::lock_guard lock(mutex_);
  return segmenter_version_;
}

template <typename Request>
grpc::Status FakeServices::CheckSpec(const Request& request, const std::string& version) const {
  const std::string& wanted = request.model().version();
  if (!knows_model_spec || wanted.empty() || wanted == version) return grpc::Status::OK;
  return {grpc::StatusCode::FAILED_PRECONDITION, "this is " + version + ", not " + wanted};
}

template <typename Response>
grpc::Status FakeServices::Sign(const grpc::Status& status, const std::string& version,
                                Response* response) const {
  if (response->model_version().empty()) response->set_model_version(version);
  if (knows_model_spec) {
    response->mutable_model()->set_name("default");
    response->mutable_model()->set_version(response->model_version());
  }
  return status;
}

class FakeServices::Detector : public detector::Detector::Service {
 public:
  explicit Detector(FakeServices& owner) : owner_(owner) {}

  grpc::Status Detect(grpc::ServerContext* context, const detector::DetectRequest* request,
                      detector::DetectResponse* response) override {
    const std::string version = owner_.detector_version();
    owner_.Note(*context, "Detect", request->image().has_data());
    if (const auto meant = owner_.CheckSpec(*request, version); !meant.ok()) return meant;
    if (owner_.on_detect) {
      return owner_.Sign(owner_.on_detect(*context, *request, response), version, response);
    }
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    duet_testing::AddCat({10, 20, 110, 120}, response);
    if (const auto found = owner_.class_found_by.find(version);
        found != owner_.class_found_by.end()) {
      response->mutable_detections(0)->set_label(found->second);
    }
    return owner_.Sign(grpc::Status::OK, version, response);
  }

  grpc::Status GetModel(grpc::ServerContext*, const detector::GetModelRequest*,
                        detector::GetModelResponse* response) override {
    response->mutable_model()->set_name("rtmdet-t");
    response->mutable_model()->set_version(owner_.detector_version());
    for (const std::string& name : owner_.classes) response->add_classes(name);
    response->set_has_masks(owner_.has_masks);
    return grpc::Status::OK;
  }

 private:
  FakeServices& owner_;
};

class FakeServices::Segmenter : public segmenter::Segmenter::Service {
 public:
  explicit Segmenter(FakeServices& owner) : owner_(owner) {}

  grpc::Status Embed(grpc::ServerContext* context, const segmenter::EmbedRequest* request,
                     segmenter::EmbedResponse* response) override {
    const std::string version = owner_.segmenter_version();
    owner_.Note(*context, "Embed", true);
    if (const auto meant = owner_.CheckSpec(*request, version); !meant.ok()) return meant;
    if (owner_.embeds_to_refuse && (*owner_.embeds_to_refuse)-- > 0) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "full"};
    }
    if (owner_.on_embed) {
      return owner_.Sign(owner_.on_embed(*context, *request, response), version, response);
    }
    const std::string id = ImageId(request->image().data());
    response->set_image_id(id);
    const std::lock_guard lock(owner_.mutex_);
    response->set_cached(!owner_.embedded_.insert(id).second);
    return owner_.Sign(grpc::Status::OK, version, response);
  }

  grpc::Status Segment(grpc::ServerContext* context, const segmenter::SegmentRequest* request,
                       segmenter::SegmentResponse* response) override {
    const std::string version = owner_.segmenter_version();
    owner_.Note(*context, "Segment", request->has_image());
    if (const auto meant = owner_.CheckSpec(*request, version); !meant.ok()) return meant;
    if (owner_.on_segment) {
      return owner_.Sign(owner_.on_segment(*context, *request, response), version, response);
    }
    {
      const std::lock_guard lock(owner_.mutex_);
      if (request->has_image()) {
        owner_.embedded_.insert(ImageId(request->image().data()));
      } else if (owner_.embedded_.count(request->image_id()) == 0) {
        return {grpc::StatusCode::NOT_FOUND, "no such image"};
      }
    }
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    for (const auto& prompt : request->prompts()) {
      auto* mask = response->add_results()->add_masks();
      mask->set_iou_score(0.8f);
      if (prompt.has_box()) {
        duet_testing::FillBox(
            kWidth, kHeight,
            {static_cast<int>(prompt.box().x_min()), static_cast<int>(prompt.box().y_min()),
             static_cast<int>(prompt.box().x_max()), static_cast<int>(prompt.box().y_max())},
            mask->mutable_row_runs());
      } else {
        const int x = std::clamp(static_cast<int>(prompt.points(0).x()), 5, kWidth - 5);
        const int y = std::clamp(static_cast<int>(prompt.points(0).y()), 5, kHeight - 5);
        duet_testing::FillBox(kWidth, kHeight, {x - 5, y - 5, x + 5, y + 5},
                              mask->mutable_row_runs());
      }
    }
    return owner_.Sign(grpc::Status::OK, version, response);
  }

  grpc::Status GetModel(grpc::ServerContext*, const segmenter::GetModelRequest*,
                        segmenter::GetModelResponse* response) override {
    response->mutable_model()->set_name("sam-vit-b");
    response->mutable_model()->set_version(owner_.segmenter_version());
    return grpc::Status::OK;
  }

 private:
  FakeServices& owner_;
};

FakeServices::FakeServices(int port)
    : detector_(std::make_unique<Detector>(*this)), segmenter_(std::make_unique<Segmenter>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(detector_.get());
  builder.RegisterService(segmenter_.get());
  builder.SetMaxReceiveMessageSize(64 << 20);
  server_ = builder.BuildAndStart();
}

FakeServices::~FakeServices() {
  if (server_) server_->Shutdown(std::chrono::system_clock::now());
}

void FakeServices::Note(const grpc::ServerContext& context, std::string method, bool with_image) {
  const std::lock_guard lock(mutex_);
  seen_.push_back({std::move(method), with_image, Metadata(context, "x-request-id"),
                   Metadata(context, "traceparent")});
}

std::vector<SeenCall> FakeServices::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

int FakeServices::count(std::string_view method) const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(
      seen_.begin(), seen_.end(), [&](const SeenCall& call) { return call.method == method; }));
}

}  // namespace gateway::testing
