// Calls to the replicas of one service: which one, how often, how long. Internal to
// gateway_backends.
//
// Every call of ours may be repeated without harm, so UNAVAILABLE goes to the next replica, and
// after the last one, with a pause, to the first again. A budget shared by all calls bounds that:
// when most calls fail, repeating them only adds load. RESOURCE_EXHAUSTED goes to the next replica
// too, and is repeated for patient calls only. CANCELLED, if it wasn't us, is what a call gets that
// reaches a server while that begins to drain: as UNAVAILABLE. Any other code is final.
#ifndef DUET_GATEWAY_BACKENDS_UPSTREAM_H_
#define DUET_GATEWAY_BACKENDS_UPSTREAM_H_

#include <absl/status/statusor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>  // how gRPC reads and writes protobuf
#include <grpcpp/support/async_unary_call.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "gateway/backends/client.h"
#include "gateway/backends/completion_thread.h"
#include "gateway/backends/grpc_call.h"
#include "gateway/backends/replica_set.h"

namespace gateway::backends {

class Upstream {
 public:
  // `service` as in messages: "detector".
  Upstream(std::string service, std::unique_ptr<ReplicaSet> replicas)
      : service_(std::move(service)), replicas_(std::move(replicas)) {}

  ReplicaSet& replicas() { return *replicas_; }
  BackendHealth health() const;

  // `method`: "/duet.detector.v1.Detector/Detect". `key`: the image id that decides the replica;
  // "": by load. Background looks don't repeat: that would use up the budget of calls that matter.
  template <typename Response>
  boost::asio::awaitable<absl::StatusOr<Response>> Call(std::string method,
                                                        grpc::ByteBuffer request, std::string key,
                                                        CallOptions options,
                                                        bool may_repeat = true);

  // Resolves names and calls `look` (which asks for the model and says how that went) for ever:
  // every few seconds, and soon after a failure.
  boost::asio::awaitable<void> KeepFresh(
      std::function<boost::asio::awaitable<absl::Status>()> look);

 private:
  // What to do after a round in which every candidate refused.
  bool MayRepeat(const grpc::Status& status, int round, const CallOptions& options);
  boost::asio::awaitable<void> Pause(int round, const CallOptions& options);
  void OnSuccess();
  absl::Status ToStatus(const grpc::Status& status, const std::string& address) const;
  static void Prepare(grpc::ClientContext& context, const CallOptions& options);
  // `status`, or what is wrong with TLS if that is why a replica isn't connected.
  boost::asio::awaitable<absl::Status> Diagnose(absl::Status status);
  // Takes down the outcome of a look, and logs it if it is news.
  void Note(const absl::Status& status);

  // The end of a call: what gRPC writes its outcome into, and who wants to know.
  template <typename Response, typename Done>
  struct Ending final : CompletionThread::Operation {
    Ending(std::shared_ptr<Replica> replica, Done done)
        : replica(std::move(replica)), done(std::move(done)) {}
    void Complete() override {
      const std::unique_ptr<Ending> self(this);
      --replica->in_flight;
      reader.reset();
      replica.reset();  // `done` is the last that may keep the channel
      done(std::move(status));
    }

    std::shared_ptr<Replica> replica;
    Done done;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
    grpc::Status status;
  };

  const std::string service_;
  const std::unique_ptr<ReplicaSet> replicas_;
  mutable std::mutex mutex_;
  double repeat_budget_ = 10;            // guarded by mutex_
  bool reachable_ = false;               // guarded by mutex_
  std::string error_ = "not asked yet";  // guarded by mutex_
  std::string tls_error_;                // guarded by mutex_; why TLS fails; "": it doesn't
  CompletionThread completions_;
  CallTracker tracker_;  // last: goes first
};

template <typename Response>
boost::asio::awaitable<absl::StatusOr<Response>> Upstream::Call(std::string method,
                                                                grpc::ByteBuffer request,
                                                                std::string key,
                                                                CallOptions options,
                                                                bool may_repeat) {
  constexpr std::size_t kMaxCandidates = 3;
  using OneCall = GrpcCall<Response>;
  for (int round = 0;; ++round) {
    grpc::Status status(grpc::StatusCode::UNAVAILABLE, "no address is known");
    std::string address = replicas_->targets();
    ReplicaSet::Replicas candidates = key.empty() ? replicas_->ByLoad() : replicas_->ByKey(key);
    if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
    for (const auto& replica : candidates) {
      auto call = std::make_shared<OneCall>();
      call->request = request;  // shares its slices
      Prepare(call->context, options);
      ++replica->in_flight;
      address = replica->address;
      auto start = [this, method, replica](OneCall& one, auto done) {
        using Done = decltype(done);
        grpc::TemplatedGenericStub<grpc::ByteBuffer, Response> stub(replica->channel);
        auto ending = std::make_unique<Ending<Response, Done>>(replica, std::move(done));
        ending->reader =
            stub.PrepareUnaryCall(&one.context, method, one.request, &completions_.queue());
        ending->reader->StartCall();
        auto* const tag = ending.release();
        tag->reader->Finish(&one.response, &tag->status, tag);
      };
      auto pending = AwaitCall(tracker_, call, std::move(start));
      status = co_await std::move(pending);
      if (status.ok()) {
        OnSuccess();
        co_return std::move(call->response);
      }
      const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
      if (status.error_code() == grpc::StatusCode::CANCELLED &&
          cancellation.cancelled() == boost::asio::cancellation_type::none) {
        status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "it ended the call");
      }
      if (status.error_code() != grpc::StatusCode::UNAVAILABLE &&
          status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
        co_return ToStatus(status, address);
      }
    }
    if (!may_repeat || !MayRepeat(status, round, options)) co_return ToStatus(status, address);
    co_await Pause(round, options);
  }
}

}  // namespace gateway::backends

#endif  // DUET_GATEWAY_BACKENDS_UPSTREAM_H_
