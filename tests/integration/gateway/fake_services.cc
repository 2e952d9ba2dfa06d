#include "tests/integration/gateway/fake_services.h"

#include <absl/strings/escaping.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <openssl/sha.h>

#include <algorithm>

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

std::string ImageId(const std::string& bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

class FakeServices::Detector : public detector::Detector::Service {
 public:
  explicit Detector(FakeServices& owner) : owner_(owner) {}

  grpc::Status Detect(grpc::ServerContext* context, const detector::DetectRequest* request,
                      detector::DetectResponse* response) override {
    owner_.Note(*context, "Detect", request->image().has_data());
    if (owner_.on_detect) return owner_.on_detect(*context, *request, response);
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    response->set_model_version("d1");
    duet_testing::AddCat({10, 20, 110, 120}, response);
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const detector::GetModelRequest*,
                        detector::GetModelResponse* response) override {
    response->mutable_model()->set_name("rtmdet-t");
    response->mutable_model()->set_version("d1");
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
    owner_.Note(*context, "Embed", true);
    if (owner_.on_embed) return owner_.on_embed(*context, *request, response);
    const std::string id = ImageId(request->image().data());
    response->set_image_id(id);
    const std::lock_guard lock(owner_.mutex_);
    response->set_cached(!owner_.embedded_.insert(id).second);
    return grpc::Status::OK;
  }

  grpc::Status Segment(grpc::ServerContext* context, const segmenter::SegmentRequest* request,
                       segmenter::SegmentResponse* response) override {
    owner_.Note(*context, "Segment", request->has_image());
    if (owner_.on_segment) return owner_.on_segment(*context, *request, response);
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
    response->set_model_version("s1");
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
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const segmenter::GetModelRequest*,
                        segmenter::GetModelResponse* response) override {
    response->mutable_model()->set_name("sam-vit-b");
    response->mutable_model()->set_version("s1");
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
