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

void FakeServices::RefuseDetectWhile(const std::atomic<bool>& full) {
  on_detect = [&full](auto&, const auto&, auto* response) {
    if (full) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    return grpc::Status::OK;
  };
}

void FakeServices::Encode(std::string encoder) {
  const std::lock_guard lock(mutex_);
  encoder_ = std::move(encoder);
}

void FakeServices::ServeDetector(const std::string& name, Named model) {
  const std::lock_guard lock(mutex_);
  detectors_[name] = std::move(model);
}

void FakeServices::ServeSegmenter(const std::string& name, Named model) {
  const std::lock_guard lock(mutex_);
  segmenters_[name] = std::move(model);
}

void FakeServices::Delete(const std::string& name) {
  const std::lock_guard lock(mutex_);
  detectors_.erase(name);
  segmenters_.erase(name);
}

bool FakeServices::IsLoaded(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = detectors_.find(name);
  return found != detectors_.end() && found->second.loaded;
}

template <typename Request>
grpc::Status FakeServices::Choose(const Request& request, const std::string& fallback, Names& names,
                                  std::string* version) {
  const std::lock_guard lock(mutex_);
  *version = fallback;
  if (!knows_model_spec) return grpc::Status::OK;
  const std::string& name = request.model().name();
  if (!name.empty() && name != "default") {
    const auto found = names.find(name);
    if (found == names.end() || found->second.version.empty()) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "no model serves '" + name + "'"};
    }
    found->second.loaded = true;
    *version = found->second.version;
  }
  const std::string& wanted = request.model().version();
  if (wanted.empty() || wanted == *version) return grpc::Status::OK;
  return {grpc::StatusCode::FAILED_PRECONDITION, "this is " + *version + ", not " + wanted};
}

template <typename Request, typename Response>
grpc::Status FakeServices::Sign(const grpc::Status& status, const std::string& version,
                                const Request& request, Response* response) const {
  if (response->model_version().empty()) response->set_model_version(version);
  if (knows_model_spec) {
    const std::string& name = request.model().name();
    response->mutable_model()->set_name(name.empty() ? "default" : name);
    response->mutable_model()->set_version(response->model_version());
  }
  return status;
}

grpc::Status FakeServices::List(const std::string& fallback, const Names& names,
                                duet::vision::v1::ListModelsResponse* response) const {
  using duet::vision::v1::ModelStatus;
  if (!knows_names) return {grpc::StatusCode::UNIMPLEMENTED, "there is no such method"};
  const std::lock_guard lock(mutex_);
  ModelStatus* first = response->add_models();
  first->set_name("default");
  first->set_state(ModelStatus::STATE_LOADED);
  first->set_version(fallback);
  for (const auto& [name, model] : names) {
    ModelStatus* status = response->add_models();
    status->set_name(name);
    status->set_stored_version(model.stored);
    status->set_error(model.error);
    status->set_label_studio_url(model.label_studio_url);
    status->set_project_created(model.project_created);
    status->set_state(!model.error.empty() ? ModelStatus::STATE_FAILED
                      : model.loaded       ? ModelStatus::STATE_LOADED
                                           : ModelStatus::STATE_UNLOADED);
    if (!model.loaded || model.version.empty()) continue;
    status->set_version(model.version);
    status->set_loaded_version(model.error.empty() ? model.stored : model.stored - 1);
  }
  return grpc::Status::OK;
}

class FakeServices::Detector : public detector::Detector::Service {
 public:
  explicit Detector(FakeServices& owner) : owner_(owner) {}

  grpc::Status Detect(grpc::ServerContext* context, const detector::DetectRequest* request,
                      detector::DetectResponse* response) override {
    owner_.Note(*context, "Detect", request->image().has_data());
    std::string version;
    const grpc::Status chosen = owner_.ChooseDetector(*request, &version);
    if (!chosen.ok()) return chosen;
    if (owner_.on_detect) {
      return owner_.Sign(owner_.on_detect(*context, *request, response), version, *request,
                         response);
    }
    response->set_image_width(kWidth);
    response->set_image_height(kHeight);
    duet_testing::AddCat({10, 20, 110, 120}, response);
    if (const auto found = owner_.class_found_by.find(version);
        found != owner_.class_found_by.end()) {
      response->mutable_detections(0)->set_label(found->second);
    }
    return owner_.Sign(grpc::Status::OK, version, *request, response);
  }

  grpc::Status GetModel(grpc::ServerContext*, const detector::GetModelRequest* request,
                        detector::GetModelResponse* response) override {
    if (owner_.refuse_get_model && !request->model().name().empty()) {
      const auto refused =
          owner_.refuse_get_model(request->model().name(), request->model().version());
      if (!refused.ok()) return refused;
    }
    std::string version;
    const grpc::Status chosen = owner_.ChooseDetector(*request, &version);
    if (!chosen.ok()) return chosen;
    response->mutable_model()->set_name("rtmdet-t");
    response->mutable_model()->set_version(version);
    for (const std::string& name : owner_.classes) response->add_classes(name);
    response->set_has_masks(owner_.has_masks);
    return grpc::Status::OK;
  }

  grpc::Status ListModels(grpc::ServerContext*, const duet::vision::v1::ListModelsRequest*,
                          duet::vision::v1::ListModelsResponse* response) override {
    if (owner_.refuse_list_models) {
      if (const auto refused = owner_.refuse_list_models(); !refused.ok()) return refused;
    }
    return owner_.ListDetector(response);
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
    std::string version;
    const grpc::Status chosen = owner_.ChooseSegmenter(*request, &version);
    if (!chosen.ok()) return chosen;
    if (owner_.embeds_to_refuse && (*owner_.embeds_to_refuse)-- > 0) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "full"};
    }
    if (request->keep()) {
      if (!owner_.store_bytes) return {grpc::StatusCode::UNIMPLEMENTED, "there is no store"};
      response->set_kept_bytes(owner_.embedding_bytes);
    }
    if (owner_.on_embed) {
      return owner_.Sign(owner_.on_embed(*context, *request, response), version, *request,
                         response);
    }
    const std::string id = ImageId(request->image().data());
    response->set_image_id(id);
    response->set_width(kWidth);
    response->set_height(kHeight);
    const std::lock_guard lock(owner_.mutex_);
    response->set_cached(!owner_.embedded_.insert(id).second);
    return owner_.Sign(grpc::Status::OK, version, *request, response);
  }

  grpc::Status Segment(grpc::ServerContext* context, const segmenter::SegmentRequest* request,
                       segmenter::SegmentResponse* response) override {
    owner_.Note(*context, "Segment", request->has_image());
    std::string version;
    const grpc::Status chosen = owner_.ChooseSegmenter(*request, &version);
    if (!chosen.ok()) return chosen;
    if (owner_.on_segment) {
      return owner_.Sign(owner_.on_segment(*context, *request, response), version, *request,
                         response);
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
    return owner_.Sign(grpc::Status::OK, version, *request, response);
  }

  grpc::Status SegmentEverything(
      grpc::ServerContext* context, const segmenter::SegmentEverythingRequest* request,
      grpc::ServerWriter<segmenter::SegmentEverythingResponse>* writer) override {
    owner_.Note(*context, "SegmentEverything", request->has_image());
    std::string version;
    const grpc::Status chosen = owner_.ChooseSegmenter(*request, &version);
    if (!chosen.ok()) return chosen;
    {
      const std::lock_guard lock(owner_.mutex_);
      if (request->has_image()) {
        owner_.embedded_.insert(ImageId(request->image().data()));
      } else if (owner_.embedded_.count(request->image_id()) == 0) {
        return {grpc::StatusCode::NOT_FOUND, "no such image"};
      }
    }
    std::vector<segmenter::SegmentEverythingResponse> stream(1);
    stream.front().mutable_progress()->set_prompts_total(1024);
    const grpc::Status status =
        owner_.on_everything ? owner_.on_everything(*context, *request, &stream) : grpc::Status::OK;
    for (segmenter::SegmentEverythingResponse& response : stream) {
      response.mutable_model()->set_version(version);
      writer->Write(response);
    }
    return status;
  }

  grpc::Status GetModel(grpc::ServerContext*, const segmenter::GetModelRequest* request,
                        segmenter::GetModelResponse* response) override {
    std::string version;
    const grpc::Status chosen = owner_.ChooseSegmenter(*request, &version);
    if (!chosen.ok()) return chosen;
    response->mutable_model()->set_name("sam-vit-b");
    response->mutable_model()->set_version(version);
    response->set_embedding_bytes(owner_.embedding_bytes);
    if (owner_.store_bytes) {
      response->mutable_embedding_store()->set_budget_bytes(*owner_.store_bytes);
    }
    const std::lock_guard lock(owner_.mutex_);
    response->set_encoder(owner_.encoder_);
    return grpc::Status::OK;
  }

  grpc::Status ListModels(grpc::ServerContext*, const duet::vision::v1::ListModelsRequest*,
                          duet::vision::v1::ListModelsResponse* response) override {
    return owner_.ListSegmenter(response);
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
