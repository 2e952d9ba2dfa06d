#include "backends/trainer_client.h"

#include <absl/strings/str_cat.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "backends/grpc_call.h"
#include "backends/replica_caller.h"
#include "backends/replica_set.h"
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

// Between two looks whether a name has been looked up.
constexpr auto kLook = std::chrono::milliseconds(10);
// For a name to be looked up again while an address is known.
constexpr auto kResolvePatience = std::chrono::milliseconds(200);

// What gRPC needs for the call, which may be longer than its coroutine lives.
struct TrainCall {
  grpc::ClientContext context;
  trainer::TrainRequest request;
  std::optional<trainer::Job> job;
};

// Reads the first message of a stream, and leaves. Each step ends as a tag of a completion queue,
// so that nothing of it is let go on a thread of gRPC's own (grpc_call.h).
template <typename Done>
class FirstMessage final : public CompletionThread::Operation {
 public:
  FirstMessage(TrainCall& call, Done done) : call_(call), done_(std::move(done)) {}

  void Start(const std::shared_ptr<Replica>& replica, grpc::CompletionQueue& queue) {
    const auto stub = trainer::Trainer::NewStub(replica->channel);
    reader_ = stub->PrepareAsyncTrain(&call_.context, call_.request, &queue);
    reader_->StartCall(this);
  }
  // A step that failed makes the next ones end at once; Finish says why.
  void Complete(bool /*ok*/) override {
    switch (step_++) {
      case 0:
        reader_->Read(&read_, this);
        return;
      case 1:
        if (!read_.id().empty()) {
          call_.job = std::move(read_);
          call_.context.TryCancel();
        }
        reader_->Finish(&status_, this);
        return;
      default: {
        const std::unique_ptr<FirstMessage> self(this);
        reader_.reset();
        done_(call_.job ? grpc::Status::OK : std::move(status_));
      }
    }
  }

 private:
  TrainCall& call_;  // kept by `done_`
  Done done_;
  int step_ = 0;
  trainer::Job read_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReader<trainer::Job>> reader_;
};

class GrpcTrainer final : public TrainerClient {
 public:
  explicit GrpcTrainer(std::unique_ptr<ReplicaSet> replicas) : replicas_(std::move(replicas)) {}

  awaitable<absl::StatusOr<trainer::Job>> Train(trainer::TrainRequest request,
                                                CallOptions options) override {
    auto finding = Find(options.deadline);
    const auto replica = co_await std::move(finding);
    if (!replica.ok()) co_return replica.status();
    const auto call = std::make_shared<TrainCall>();
    call->request = std::move(request);
    ReplicaCaller::Prepare(call->context, options);
    auto start = [this, replica = *replica](TrainCall& one, auto done) {
      using Done = decltype(done);
      auto reading = std::make_unique<FirstMessage<Done>>(one, std::move(done));
      reading.release()->Start(replica, caller_.completions().queue());
    };
    auto pending = AwaitCall(caller_.tracker(), call, std::move(start));
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
  // What a look-up of the name leaves behind, which may end after everything else.
  struct LookUp {
    std::atomic<bool> running = false;
  };

  // The trainer, at the address that its name stands for now. A name server that hangs is waited
  // for only as long as no address is known.
  awaitable<absl::StatusOr<std::shared_ptr<Replica>>> Find(
      std::chrono::system_clock::time_point deadline) {
    const auto executor = co_await asio::this_coro::executor;
    // One look-up at a time; it serves all who ask meanwhile.
    if (!look_up_->running.exchange(true)) {
      asio::co_spawn(executor, replicas_->Resolve(),
                     [look_up = look_up_](std::exception_ptr) { look_up->running = false; });
    }
    const auto patience = std::chrono::system_clock::now() + kResolvePatience;
    asio::steady_timer timer(executor);
    ReplicaSet::Replicas replicas = replicas_->ByLoad();
    while (look_up_->running) {
      const auto give_up = replicas.empty() ? deadline : std::min(patience, deadline);
      if (std::chrono::system_clock::now() >= give_up) break;
      timer.expires_after(kLook);
      co_await timer.async_wait(asio::use_awaitable);
      replicas = replicas_->ByLoad();
    }
    if (replicas.empty()) replicas = replicas_->ByLoad();
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
    auto finding = Find(options.deadline);
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
  const std::shared_ptr<LookUp> look_up_ = std::make_shared<LookUp>();
  ReplicaCaller caller_;  // last: goes first
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
