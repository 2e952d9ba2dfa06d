#include "backends/trainer_client.h"

#include <absl/cleanup/cleanup.h>
#include <absl/functional/any_invocable.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <optional>
#include <utility>

#include "backends/grpc_call.h"
#include "backends/replica_set.h"
#include "backends/unary_caller.h"
#include "backends/wire.h"
#include "duet/trainer/v1/trainer.grpc.pb.h"
#include "serving/grpc_log.h"
#include "serving/log.h"

namespace backends {
namespace {

namespace asio = boost::asio;
namespace trainer = duet::trainer::v1;
using asio::awaitable;

constexpr char kService[] = "/duet.trainer.v1.Trainer/";

// Reads the first message of a stream, and leaves.
struct FirstMessage final : grpc::ClientReadReactor<trainer::Job> {
  FirstMessage(std::shared_ptr<Replica> replica, trainer::TrainRequest request)
      : replica(std::move(replica)),
        stub(trainer::Trainer::NewStub(this->replica->channel)),
        request(std::move(request)) {}

  void Start(absl::AnyInvocable<void(grpc::Status)> on_done) {
    done = std::move(on_done);
    stub->async()->Train(&context, &request, this);
    StartRead(&read);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone says why
    job = std::move(read);
    context.TryCancel();
  }
  // `done` lets go of this.
  void OnDone(const grpc::Status& status) override {
    auto finish = std::move(done);
    finish(job ? grpc::Status::OK : status);
  }

  const std::shared_ptr<Replica> replica;  // keeps the channel
  const std::unique_ptr<trainer::Trainer::Stub> stub;
  const trainer::TrainRequest request;
  grpc::ClientContext context;
  trainer::Job read;
  std::optional<trainer::Job> job;
  absl::AnyInvocable<void(grpc::Status)> done;
};

class GrpcTrainer final : public TrainerClient {
 public:
  explicit GrpcTrainer(std::unique_ptr<ReplicaSet> replicas) : replicas_(std::move(replicas)) {}

  awaitable<absl::StatusOr<trainer::Job>> Train(trainer::TrainRequest request,
                                                CallOptions options) override {
    auto finding = Find();
    const auto replica = co_await std::move(finding);
    if (!replica.ok()) co_return replica.status();
    const auto call = std::make_shared<FirstMessage>(*replica, std::move(request));
    call->context.set_deadline(options.deadline);
    auto pending =
        AwaitCall(tracker_, call, [](FirstMessage& one, auto done) { one.Start(std::move(done)); });
    const grpc::Status status = co_await std::move(pending);
    if (!status.ok())
      co_return Says(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
    if (!call->job) co_return Says(absl::StatusCode::kInternal, "it told no job");
    co_return *std::move(call->job);
  }

  awaitable<absl::StatusOr<trainer::Job>> Cancel(std::string job_id, CallOptions options) override {
    trainer::CancelRequest request;
    request.set_job_id(std::move(job_id));
    return Call<trainer::Job>("Cancel", Serialize(request), std::move(options));
  }
  awaitable<absl::StatusOr<trainer::ListJobsResponse>> ListJobs(std::uint64_t project_id,
                                                                std::uint32_t limit,
                                                                CallOptions options) override {
    trainer::ListJobsRequest request;
    request.set_project_id(project_id);
    request.set_limit(limit);
    return Call<trainer::ListJobsResponse>("ListJobs", Serialize(request), std::move(options));
  }
  awaitable<absl::StatusOr<trainer::ForgetResponse>> Forget(std::uint64_t project_id,
                                                            CallOptions options) override {
    trainer::ForgetRequest request;
    request.set_project_id(project_id);
    return Call<trainer::ForgetResponse>("Forget", Serialize(request), std::move(options));
  }

 private:
  // The trainer, at the address that its name stands for now.
  awaitable<absl::StatusOr<std::shared_ptr<Replica>>> Find() {
    // Calls of several coroutines must not look up names at once; one answer serves all.
    if (!resolving_.exchange(true)) {
      const absl::Cleanup ended = [this] { resolving_ = false; };
      auto resolving = replicas_->Resolve();
      co_await std::move(resolving);
    }
    const ReplicaSet::Replicas replicas = replicas_->ByLoad();
    if (replicas.empty()) {
      co_return absl::UnavailableError(
          absl::StrCat("the trainer is away: no address is known for ", replicas_->targets()));
    }
    // A trainer that restarts is back in seconds.
    if (replicas.front()->IsDown()) replicas.front()->ConnectSoon();
    co_return replicas.front();
  }

  template <typename Response>
  awaitable<absl::StatusOr<Response>> Call(std::string method, grpc::ByteBuffer request,
                                           CallOptions options) {
    auto finding = Find();
    const auto replica = co_await std::move(finding);
    if (!replica.ok()) co_return replica.status();
    auto calling =
        caller_.Call<Response>(*replica, kService + method, std::move(request), std::move(options));
    auto answer = co_await std::move(calling);
    if (!answer.ok()) co_return Says(answer.status().code(), answer.status().message());
    co_return answer;
  }

  absl::Status Says(absl::StatusCode code, absl::string_view message) const {
    if (code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kCancelled) {
      return absl::UnavailableError(
          absl::StrCat("the trainer at ", replicas_->targets(), " is away: ", message));
    }
    if (code == absl::StatusCode::kDeadlineExceeded) {
      return absl::Status(code, "the trainer did not answer in time");
    }
    return absl::Status(code, absl::StrCat("the trainer says: ", message));
  }

  const std::unique_ptr<ReplicaSet> replicas_;
  std::atomic<bool> resolving_ = false;
  CallTracker tracker_;
  UnaryCaller caller_;  // last: goes first
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerClient>> MakeGrpcTrainer(std::string_view target,
                                                               const GrpcOptions& options) {
  auto replicas = ReplicaSet::Create(target, options);
  if (!replicas.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--trainer: ", std::string(replicas.status().message())));
  }
  if (target.find(',') != target.npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--trainer is ", std::string(target), "; needed: one host:port"));
  }
  serving::RouteGrpcLog(serving::LogLevel::kDebug);
  return std::make_unique<GrpcTrainer>(*std::move(replicas));
}

}  // namespace backends
