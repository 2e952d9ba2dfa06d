#include "backends/grpc_clients.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backends/replica_caller.h"
#include "backends/upstream.h"
#include "backends/wire.h"
#include "duet/vision/v1/model.pb.h"
#include "serving/grpc_log.h"
#include "serving/log.h"

namespace backends {
namespace {

namespace asio = boost::asio;
namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
namespace vision = duet::vision::v1;
using asio::awaitable;

// To start loading a model it is enough that the request arrives.
constexpr auto kLoadTimeout = std::chrono::milliseconds(200);

// Says in a request which model must answer.
template <typename Request>
void SetModel(const CallOptions& options, Request& request) {
  if (options.version.empty() && options.model == kDefaultModel) return;
  request.mutable_model()->set_name(options.model);
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
    case serving::Priority::kStock:
      return segmenter::EMBED_RANK_STOCK;
  }
  return segmenter::EMBED_RANK_UNSPECIFIED;
}

// The models to ask for, out of those that replicas have told of.
template <typename Model>
class Models {
 public:
  using Ptr = std::shared_ptr<const Model>;

  // The name's model, the default one if nobody serves the name, null if it isn't known yet. Then
  // `*wanted` tells whether this is the first to ask for it. Any thread.
  Ptr Find(const std::string& name, bool* wanted) {
    const std::lock_guard lock(mutex_);
    *wanted = unknown_.contains(name) && wanted_.insert(name).second;
    return FindKnown(name);
  }
  // The same, of which nothing follows. Any thread.
  Ptr Known(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return FindKnown(name);
  }
  ModelOwner owner(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find(name);
    return found == owners_.end() ? ModelOwner() : found->second;
  }
  bool Has(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return name != kDefaultModel && (announced_.contains(name) || IsUnknown(name));
  }
  std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, model] : announced_) {
      if (name != kDefaultModel) names.push_back(name);
    }
    return names;
  }
  // Somebody waits for a model of this name. Any thread.
  bool IsWanted(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return wanted_.contains(name);
  }

  // The rest is called on one strand.
  void Add(Model model) {
    auto key = std::pair(model.served_as, model.version);
    told_[std::move(key)] = std::make_shared<const Model>(std::move(model));
  }
  bool Knows(const std::string& name, const std::string& version) const {
    return told_.contains({name, version});
  }
  // The version of a name's folder, which is the same on all replicas of equal settings; "" as long
  // as none has loaded it.
  std::string VersionOf(const NameStatus& status) const {
    const auto found = folders_.find(status.name);
    return found != folders_.end() && found->second.first == status.stored_version
               ? found->second.second
               : "";
  }
  void Note(const NameStatus& status) {
    folders_[status.name] = {status.loaded_version, status.version};
  }
  // Before its name is announced.
  void NoteOwner(const NameStatus& status) {
    const std::lock_guard lock(mutex_);
    owners_[status.name] = status.owner;
  }
  void Announce(const ModelAnnouncement& announcement) {
    const std::lock_guard lock(mutex_);
    std::map<std::string, Ptr> next;
    for (const auto& [name, version] : announcement.versions) {
      const auto told = told_.find({name, version});
      const auto before = announced_.find(name);
      if (told != told_.end()) {
        // The same object, as long as it says the same: plans are made for it.
        const bool same = before != announced_.end() && before->second->version == version &&
                          Same(*before->second, *told->second);
        next[name] = same ? before->second : told->second;
      } else if (before != announced_.end()) {
        // Of one that only a busy replica serves, what was announced before is still known.
        next[name] = before->second;
      }
    }
    announced_ = std::move(next);
    unknown_ = announcement.unknown;
    has_all_names_ = announcement.has_all_names;
    std::erase_if(wanted_, [&](const std::string& name) { return !unknown_.contains(name); });
    std::erase_if(told_, [&](const auto& entry) {
      const auto found = announcement.versions.find(entry.first.first);
      return found == announcement.versions.end() || found->second != entry.first.second;
    });
    const auto is_gone = [&](const auto& entry) {
      return !announced_.contains(entry.first) && !unknown_.contains(entry.first);
    };
    std::erase_if(folders_, is_gone);
    std::erase_if(owners_, is_gone);
  }

 private:
  // REQUIRES: mutex_ is held.
  Ptr FindKnown(const std::string& name) const {
    if (const auto found = announced_.find(name); found != announced_.end()) return found->second;
    if (IsUnknown(name)) return nullptr;
    const auto fallback = announced_.find(kDefaultModel);
    return fallback == announced_.end() ? nullptr : fallback->second;
  }
  // Whether nobody can tell what serves it. REQUIRES: mutex_ is held, and it isn't announced.
  bool IsUnknown(const std::string& name) const {
    return unknown_.contains(name) || (name != kDefaultModel && !has_all_names_);
  }
  static bool Same(const DetectorModel& a, const DetectorModel& b) {
    return a.name == b.name && a.classes == b.classes && a.has_masks == b.has_masks;
  }
  static bool Same(const SegmenterModel& a, const SegmenterModel& b) {
    return a.name == b.name && a.low_res_size == b.low_res_size && a.encoder == b.encoder &&
           a.embedding_bytes == b.embedding_bytes && a.store == b.store;
  }

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Ptr> announced_;
  std::set<std::string> unknown_;
  bool has_all_names_ = false;
  std::set<std::string> wanted_;  // of unknown_
  std::map<std::string, ModelOwner> owners_;
  // On the strand: by name and version; by name, the folder that was loaded last, and its version.
  std::map<std::pair<std::string, std::string>, Ptr> told_;
  std::map<std::string, std::pair<std::uint64_t, std::string>> folders_;
};

NameStatus FromProto(const vision::ModelStatus& status) {
  return {.name = status.name(),
          .version = status.version(),
          .stored_version = status.stored_version(),
          .loaded_version = status.loaded_version(),
          .loading = status.state() == vision::ModelStatus::STATE_LOADING,
          .error = status.error(),
          .owner = {status.label_studio_url(), status.project_created()}};
}

// What both clients have in common: the replicas, and the models to ask them for.
template <typename Interface, typename Model>
class GrpcClient : public Interface {
 public:
  // `methods`: "/duet.detector.v1.Detector/".
  GrpcClient(std::string service, std::string methods, std::unique_ptr<ReplicaSet> replicas)
      : methods_(std::move(methods)), upstream_(std::move(service), std::move(replicas)) {}

  void Start(asio::any_io_executor strand) {
    asio::co_spawn(strand,
                   upstream_.PollForever(
                       strand,
                       [this](std::shared_ptr<Replica> replica, CallOptions options) {
                         return GetOffer(std::move(replica), std::move(options));
                       },
                       [this](const ModelAnnouncement& announced) { models_.Announce(announced); }),
                   asio::detached);
  }

  std::shared_ptr<const Model> model(const std::string& name) final {
    bool wanted = false;
    auto found = models_.Find(name, &wanted);
    if (wanted) upstream_.LookSoon();
    return found;
  }
  std::shared_ptr<const Model> known_model(const std::string& name) const final {
    return models_.Known(name);
  }
  bool Has(const std::string& name) const final { return models_.Has(name); }
  ModelOwner owner(const std::string& name) const final { return models_.owner(name); }
  std::vector<std::string> names() const final { return models_.names(); }
  BackendHealth health() const final { return upstream_.health(); }
  void LookSoon() final { upstream_.LookSoon(); }

 protected:
  // Asks the replica for a model; `options.model` and `options.version` say for which.
  virtual awaitable<absl::StatusOr<Model>> GetModel(std::shared_ptr<Replica> replica,
                                                    CallOptions options) = 0;

  Upstream& upstream() { return upstream_; }
  const std::string& methods() const { return methods_; }

 private:
  awaitable<absl::StatusOr<ModelOffer>> GetOffer(std::shared_ptr<Replica> replica,
                                                 CallOptions options) {
    auto getting = GetModel(replica, options);
    auto model = co_await std::move(getting);
    if (!model.ok()) co_return model.status();
    ModelOffer offer;
    offer.versions[kDefaultModel] = model->version;
    models_.Add(*std::move(model));
    auto listing = upstream_.caller().template Call<vision::ListModelsResponse>(
        replica, methods_ + "ListModels", Serialize(vision::ListModelsRequest()), options);
    const auto listed = co_await std::move(listing);
    // A service of an older release has one model.
    if (absl::IsUnimplemented(listed.status())) co_return offer;
    if (absl::IsUnavailable(listed.status())) co_return listed.status();
    NoteListing(*replica, listed.status());
    if (!listed.ok()) {
      // Its default model serves, whatever is wrong with the rest.
      offer.has_told_names = false;
      co_return offer;
    }
    for (const vision::ModelStatus& one : listed->models()) {
      if (one.name().empty() || one.name() == kDefaultModel) continue;
      NameStatus status = FromProto(one);
      auto adding = AddName(replica, options, status, offer);
      co_await std::move(adding);
      offer.names.push_back(std::move(status));
    }
    co_return offer;
  }

  // Logs what is wrong with the names of replicas, once for as long as it stays the same.
  void NoteListing(const Replica& replica, const absl::Status& status) {
    std::string& last = listing_errors_[replica.address];
    const std::string error(status.message());
    if (std::exchange(last, error) == error || status.ok()) return;
    serving::LogLine("backend.names_unknown", serving::LogLevel::kWarning)
        .Str("replica", replica.address)
        .Status(status);
  }

  // Finds out what the replica serves under a name.
  awaitable<void> AddName(std::shared_ptr<Replica> replica, CallOptions options,
                          const NameStatus& status, ModelOffer& offer) {
    options.model = status.name;
    options.version = status.version;
    models_.NoteOwner(status);
    if (!status.version.empty()) {
      if (!models_.Knows(status.name, status.version)) {
        auto getting = GetModel(replica, options);
        auto model = co_await std::move(getting);
        if (!model.ok()) {
          // It has just been replaced or dropped, or the replica is busy. The name has a model of
          // its own all the same, so nobody may be answered by the default one meanwhile.
          offer.ask_again = true;
          co_return;
        }
        models_.Add(*std::move(model));
      }
      if (status.loaded_version != 0) models_.Note(status);
      offer.versions[status.name] = status.version;
      co_return;
    }
    if (status.stored_version == 0) co_return;
    // It was dropped for want of memory, and is loaded by the next call that asks for it.
    if (std::string version = models_.VersionOf(status);
        !version.empty() && models_.Knows(status.name, version)) {
      offer.versions[status.name] = std::move(version);
      co_return;
    }
    if (!status.error.empty()) co_return;  // nobody can have it
    if (status.loading || !models_.IsWanted(status.name)) co_return;
    options.deadline = std::min(options.deadline, std::chrono::system_clock::now() + kLoadTimeout);
    auto loading = GetModel(replica, options);
    const auto model = co_await std::move(loading);  // told by the next ListModels
  }

  const std::string methods_;
  std::map<std::string, std::string> listing_errors_;  // by address; on the strand
  Models<Model> models_;
  Upstream upstream_;  // last: its calls end before the rest goes
};

class GrpcDetector final : public GrpcClient<DetectorClient, DetectorModel> {
 public:
  explicit GrpcDetector(std::unique_ptr<ReplicaSet> replicas)
      : GrpcClient("detector", "/duet.detector.v1.Detector/", std::move(replicas)) {}

  awaitable<absl::StatusOr<detector::DetectResponse>> Detect(ImageRef image,
                                                             detector::DetectRequest request,
                                                             CallOptions options) override {
    request.set_background(options.patient());
    SetModel(options, request);
    return upstream().Call<detector::DetectResponse>(
        methods() + "Detect", Serialize(request, detector::DetectRequest::kImageFieldNumber, image),
        /*key=*/"",
        /*has_image=*/false, std::move(options));
  }

 private:
  awaitable<absl::StatusOr<DetectorModel>> GetModel(std::shared_ptr<Replica> replica,
                                                    CallOptions options) override {
    detector::GetModelRequest request;
    SetModel(options, request);
    auto pending = upstream().caller().Call<detector::GetModelResponse>(
        std::move(replica), methods() + "GetModel", Serialize(request), options);
    auto answer = co_await std::move(pending);
    if (!answer.ok()) co_return answer.status();
    DetectorModel model{.name = answer->model().name(),
                        .version = answer->model().version(),
                        .has_masks = answer->has_masks(),
                        .served_as = options.model};
    model.classes.assign(answer->classes().begin(), answer->classes().end());
    co_return model;
  }
};

class GrpcSegmenter final : public GrpcClient<SegmenterClient, SegmenterModel> {
 public:
  explicit GrpcSegmenter(std::unique_ptr<ReplicaSet> replicas)
      : GrpcClient("segmenter", "/duet.segmenter.v1.Segmenter/", std::move(replicas)) {}

  awaitable<absl::StatusOr<segmenter::EmbedResponse>> Embed(ImageRef image,
                                                            CallOptions options) override {
    segmenter::EmbedRequest request;
    request.set_rank(RankOf(options.priority));
    request.set_keep(options.keep);
    SetModel(options, request);
    return upstream().Call<segmenter::EmbedResponse>(
        methods() + "Embed", Serialize(request, segmenter::EmbedRequest::kImageFieldNumber, image),
        image.id,
        /*has_image=*/true, std::move(options));
  }

  awaitable<absl::StatusOr<segmenter::SegmentResponse>> Segment(ImageRef image,
                                                                segmenter::SegmentRequest request,
                                                                CallOptions options) override {
    const std::string method = methods() + "Segment";
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

  awaitable<absl::StatusOr<std::vector<segmenter::GeneratedMask>>> SegmentEverything(
      ImageRef image, segmenter::SegmentEverythingRequest request, CallOptions options) override {
    using Answer = Streamed<segmenter::SegmentEverythingResponse>;
    const std::string method = methods() + "SegmentEverything";
    SetModel(options, request);
    absl::StatusOr<Answer> answer = absl::NotFoundError("not asked by the image's id");
    if (request.crop_n_layers() == 0) {  // crops are made of pixels
      request.set_image_id(image.id);
      auto by_id = upstream().Call<Answer>(method, Serialize(request), image.id,
                                           /*has_image=*/false, options);
      answer = co_await std::move(by_id);
      request.clear_image_id();
    }
    if (absl::IsNotFound(answer.status())) {
      auto with_image = upstream().Call<Answer>(
          method, Serialize(request, segmenter::SegmentEverythingRequest::kImageFieldNumber, image),
          image.id, /*has_image=*/true, options);
      answer = co_await std::move(with_image);
    }
    if (!answer.ok()) co_return answer.status();
    std::vector<segmenter::GeneratedMask> masks;
    for (segmenter::SegmentEverythingResponse& message : answer->messages) {
      if (message.has_mask()) masks.push_back(std::move(*message.mutable_mask()));
    }
    co_return masks;
  }

 private:
  awaitable<absl::StatusOr<SegmenterModel>> GetModel(std::shared_ptr<Replica> replica,
                                                     CallOptions options) override {
    segmenter::GetModelRequest request;
    SetModel(options, request);
    auto pending = upstream().caller().Call<segmenter::GetModelResponse>(
        std::move(replica), methods() + "GetModel", Serialize(request), options);
    auto answer = co_await std::move(pending);
    if (!answer.ok()) co_return answer.status();
    SegmenterModel model{.name = answer->model().name(),
                         .version = answer->model().version(),
                         .low_res_size = static_cast<int>(answer->low_res_size()),
                         .served_as = options.model,
                         .encoder = answer->encoder(),
                         .embedding_bytes = answer->embedding_bytes()};
    if (answer->has_embedding_store()) {
      model.store = EmbeddingStore{.budget_bytes = answer->embedding_store().budget_bytes(),
                                   .kept_for_s = answer->embedding_store().kept_for_s()};
    }
    co_return model;
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
