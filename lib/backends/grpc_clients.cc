#include "backends/grpc_clients.h"

#include <absl/strings/str_cat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "backends/upstream.h"
#include "backends/wire.h"
#include "serving/grpc_log.h"
#include "serving/log.h"

namespace backends {
namespace {

namespace asio = boost::asio;
namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
using asio::awaitable;

constexpr char kDefaultModel[] = "default";

// Says in a request which model must answer.
template <typename Request>
void SetModel(const CallOptions& options, Request& request) {
  if (options.version.empty()) return;
  request.mutable_model()->set_name(kDefaultModel);
  request.mutable_model()->set_version(options.version);
}

segmenter::EmbedRank RankOf(serving::Priority priority) {
  switch (priority) {
    case serving::Priority::kInteractive:
    case serving::Priority::kOpenedTask:
      return segmenter::EMBED_RANK_OPENED_TASK;
    case serving::Priority::kBatch:
      return segmenter::EMBED_RANK_BATCH;
    case serving::Priority::kPrefetch:
      return segmenter::EMBED_RANK_PREFETCH;
  }
  return segmenter::EMBED_RANK_UNSPECIFIED;
}

// A value that one task replaces and many read.
template <typename T>
class Latest {
 public:
  std::shared_ptr<const T> Get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  void Set(T value) {
    auto next = std::make_shared<const T>(std::move(value));
    const std::lock_guard lock(mutex_);
    value_ = std::move(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;  // guarded by mutex_
};

// The model to ask for, out of those that replicas have told of.
template <typename Model>
class Models {
 public:
  std::shared_ptr<const Model> announced() const { return announced_.Get(); }

  // The rest is called on one strand.
  std::string Add(Model model) {
    std::string version = model.version;
    answers_.insert_or_assign(version, std::move(model));
    return version;
  }
  void Announce(const std::string& version) {
    // Of one that only a busy replica serves, what was announced before is still known.
    if (const auto found = answers_.find(version); found != answers_.end()) {
      announced_.Set(std::move(found->second));
    }
    answers_.clear();
  }

 private:
  Latest<Model> announced_;
  std::map<std::string, Model> answers_;  // since the last announcement, by version
};

// What both clients have in common: the replicas, and the model to ask them for.
template <typename Interface, typename Model>
class GrpcClient : public Interface {
 public:
  GrpcClient(std::string service, std::unique_ptr<ReplicaSet> replicas)
      : upstream_(std::move(service), std::move(replicas)) {}

  void Start(asio::any_io_executor strand) {
    asio::co_spawn(strand,
                   upstream_.PollForever(
                       strand,
                       [this](std::shared_ptr<Replica> replica, CallOptions options) {
                         return GetVersion(std::move(replica), std::move(options));
                       },
                       [this](const std::string& version) { models_.Announce(version); }),
                   asio::detached);
  }

  std::shared_ptr<const Model> model() const final { return models_.announced(); }
  BackendHealth health() const final { return upstream_.health(); }

 protected:
  // Asks the replica for its model.
  virtual awaitable<absl::StatusOr<Model>> GetModel(std::shared_ptr<Replica> replica,
                                                    CallOptions options) = 0;

  Upstream& upstream() { return upstream_; }

 private:
  awaitable<absl::StatusOr<std::string>> GetVersion(std::shared_ptr<Replica> replica,
                                                    CallOptions options) {
    auto getting = GetModel(std::move(replica), std::move(options));
    auto model = co_await std::move(getting);
    if (!model.ok()) co_return model.status();
    co_return models_.Add(*std::move(model));
  }

  Models<Model> models_;
  Upstream upstream_;  // last: its calls end before the rest goes
};

class GrpcDetector final : public GrpcClient<DetectorClient, DetectorModel> {
 public:
  explicit GrpcDetector(std::unique_ptr<ReplicaSet> replicas)
      : GrpcClient("detector", std::move(replicas)) {}

  awaitable<absl::StatusOr<detector::DetectResponse>> Detect(ImageRef image,
                                                             detector::DetectRequest request,
                                                             CallOptions options) override {
    request.set_background(options.patient());
    SetModel(options, request);
    return upstream().Call<detector::DetectResponse>(
        "/duet.detector.v1.Detector/Detect",
        Serialize(request, detector::DetectRequest::kImageFieldNumber, image), /*key=*/"",
        /*has_image=*/false, std::move(options));
  }

 private:
  awaitable<absl::StatusOr<DetectorModel>> GetModel(std::shared_ptr<Replica> replica,
                                                    CallOptions options) override {
    auto pending = upstream().caller().Call<detector::GetModelResponse>(
        std::move(replica), "/duet.detector.v1.Detector/GetModel",
        Serialize(detector::GetModelRequest()), std::move(options));
    auto answer = co_await std::move(pending);
    if (!answer.ok()) co_return answer.status();
    DetectorModel model{.name = answer->model().name(),
                        .version = answer->model().version(),
                        .has_masks = answer->has_masks()};
    model.classes.assign(answer->classes().begin(), answer->classes().end());
    co_return model;
  }
};

class GrpcSegmenter final : public GrpcClient<SegmenterClient, SegmenterModel> {
 public:
  explicit GrpcSegmenter(std::unique_ptr<ReplicaSet> replicas)
      : GrpcClient("segmenter", std::move(replicas)) {}

  awaitable<absl::StatusOr<segmenter::EmbedResponse>> Embed(ImageRef image,
                                                            CallOptions options) override {
    segmenter::EmbedRequest request;
    request.set_rank(RankOf(options.priority));
    SetModel(options, request);
    return upstream().Call<segmenter::EmbedResponse>(
        "/duet.segmenter.v1.Segmenter/Embed",
        Serialize(request, segmenter::EmbedRequest::kImageFieldNumber, image), image.id,
        /*has_image=*/true, std::move(options));
  }

  awaitable<absl::StatusOr<segmenter::SegmentResponse>> Segment(ImageRef image,
                                                                segmenter::SegmentRequest request,
                                                                CallOptions options) override {
    const std::string method = "/duet.segmenter.v1.Segmenter/Segment";
    request.set_image_id(image.id);
    request.set_background(options.patient());
    SetModel(options, request);
    auto by_id = upstream().Call<segmenter::SegmentResponse>(method, Serialize(request), image.id,
                                                             /*has_image=*/false, options);
    auto answer = co_await std::move(by_id);
    if (answer.status().code() != absl::StatusCode::kNotFound) co_return answer;
    request.clear_image_id();
    auto with_image = upstream().Call<segmenter::SegmentResponse>(
        method, Serialize(request, segmenter::SegmentRequest::kImageFieldNumber, image), image.id,
        /*has_image=*/true, options);
    co_return co_await std::move(with_image);
  }

 private:
  awaitable<absl::StatusOr<SegmenterModel>> GetModel(std::shared_ptr<Replica> replica,
                                                     CallOptions options) override {
    auto pending = upstream().caller().Call<segmenter::GetModelResponse>(
        std::move(replica), "/duet.segmenter.v1.Segmenter/GetModel",
        Serialize(segmenter::GetModelRequest()), std::move(options));
    auto answer = co_await std::move(pending);
    if (!answer.ok()) co_return answer.status();
    co_return SegmenterModel{.name = answer->model().name(),
                             .version = answer->model().version(),
                             .low_res_size = static_cast<int>(answer->low_res_size())};
  }
};

template <typename Client, typename Interface>
absl::StatusOr<std::unique_ptr<Interface>> Make(asio::any_io_executor executor,
                                                std::string_view service, std::string_view targets,
                                                const GrpcOptions& options) {
  auto replicas = ReplicaSet::Create(targets, options);
  if (!replicas.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", std::string(service), ": ", std::string(replicas.status().message())));
  }
  // Each attempt to connect to a replica that is away is an error to gRPC; "backend.away" says it
  // once, and why.
  serving::RouteGrpcLog(serving::LogLevel::kDebug);
  auto client = std::make_unique<Client>(*std::move(replicas));
  client->Start(asio::make_strand(executor));
  return client;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DetectorClient>> MakeGrpcDetector(asio::any_io_executor executor,
                                                                 std::string_view targets,
                                                                 const GrpcOptions& options) {
  return Make<GrpcDetector, DetectorClient>(std::move(executor), "detector", targets, options);
}

absl::StatusOr<std::unique_ptr<SegmenterClient>> MakeGrpcSegmenter(asio::any_io_executor executor,
                                                                   std::string_view targets,
                                                                   const GrpcOptions& options) {
  return Make<GrpcSegmenter, SegmenterClient>(std::move(executor), "segmenter", targets, options);
}

}  // namespace backends
