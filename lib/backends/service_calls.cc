#include "backends/service_calls.h"

#include <string>
#include <utility>

namespace backends {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
using boost::asio::awaitable;

// What both kinds of client are asked that is no call.
template <typename Client, typename Model>
class CountedClient : public Client {
 public:
  CountedClient(std::shared_ptr<Client> client, std::shared_ptr<ServiceCalls> calls)
      : client_(std::move(client)), calls_(std::move(calls)) {}

  using Client::model;
  std::shared_ptr<const Model> model(const std::string& name) override {
    return client_->model(name);
  }
  std::shared_ptr<const Model> known_model(const std::string& name) const override {
    return client_->known_model(name);
  }
  bool Has(const std::string& name) const override { return client_->Has(name); }
  ModelOwner owner(const std::string& name) const override { return client_->owner(name); }
  std::vector<std::string> names() const override { return client_->names(); }
  BackendHealth health() const override { return client_->health(); }
  void LookSoon() override { client_->LookSoon(); }

 protected:
  const std::shared_ptr<Client> client_;
  const std::shared_ptr<ServiceCalls> calls_;
};

class CountedDetector final : public CountedClient<DetectorClient, DetectorModel> {
 public:
  using CountedClient::CountedClient;

  awaitable<absl::StatusOr<detector::DetectResponse>> Detect(ImageRef image,
                                                             detector::DetectRequest request,
                                                             CallOptions options) override {
    ServiceCalls::Call call(*calls_);
    auto calling = client_->Detect(std::move(image), std::move(request), std::move(options));
    auto response = co_await std::move(calling);
    if (response.ok()) call.Answered(response->timing().queue_ms());
    co_return response;
  }
};

class CountedSegmenter final : public CountedClient<SegmenterClient, SegmenterModel> {
 public:
  using CountedClient::CountedClient;

  awaitable<absl::StatusOr<segmenter::EmbedResponse>> Embed(ImageRef image,
                                                            CallOptions options) override {
    ServiceCalls::Call call(*calls_);
    auto calling = client_->Embed(std::move(image), std::move(options));
    auto response = co_await std::move(calling);
    if (response.ok()) call.Answered(response->timing().queue_ms(), response->cached());
    co_return response;
  }
  awaitable<absl::StatusOr<segmenter::SegmentResponse>> Segment(ImageRef image,
                                                                segmenter::SegmentRequest request,
                                                                CallOptions options) override {
    ServiceCalls::Call call(*calls_);
    auto calling = client_->Segment(std::move(image), std::move(request), std::move(options));
    auto response = co_await std::move(calling);
    if (response.ok()) {
      call.Answered(response->timing().queue_ms(), response->embedding_cached());
    }
    co_return response;
  }
  // A stream, whose answers say nothing of the queue.
  awaitable<absl::StatusOr<std::vector<segmenter::GeneratedMask>>> SegmentEverything(
      ImageRef image, segmenter::SegmentEverythingRequest request, CallOptions options) override {
    return client_->SegmentEverything(std::move(image), std::move(request), std::move(options));
  }
};

}  // namespace

ServiceCalls::Seen ServiceCalls::seen() const {
  const std::lock_guard lock(mutex_);
  Seen seen = seen_;
  seen.queue_ms.assign(queue_ms_.begin(), queue_ms_.end());
  return seen;
}

ServiceCalls::Call::Call(ServiceCalls& calls) : calls_(calls) {
  const std::lock_guard lock(calls_.mutex_);
  ++calls_.seen_.under_way;
}

ServiceCalls::Call::~Call() {
  const std::lock_guard lock(calls_.mutex_);
  --calls_.seen_.under_way;
  if (!answered_) ++calls_.seen_.failed;
}

void ServiceCalls::Call::Answered(float queue_ms, std::optional<bool> embedded) {
  answered_ = true;
  const std::lock_guard lock(calls_.mutex_);
  ++calls_.seen_.answered;
  calls_.queue_ms_.push_front(queue_ms);
  if (calls_.queue_ms_.size() > kRemembered) calls_.queue_ms_.pop_back();
  if (!embedded) return;
  ++calls_.seen_.embeddings;
  if (*embedded) ++calls_.seen_.embeddings_there;
}

std::shared_ptr<DetectorClient> Counted(std::shared_ptr<DetectorClient> client,
                                        std::shared_ptr<ServiceCalls> calls) {
  return std::make_shared<CountedDetector>(std::move(client), std::move(calls));
}

std::shared_ptr<SegmenterClient> Counted(std::shared_ptr<SegmenterClient> client,
                                         std::shared_ptr<ServiceCalls> calls) {
  return std::make_shared<CountedSegmenter>(std::move(client), std::move(calls));
}

}  // namespace backends
