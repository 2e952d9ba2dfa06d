// One unary call to one replica. Internal to backends.
#ifndef DUET_BACKENDS_UNARY_CALLER_H_
#define DUET_BACKENDS_UNARY_CALLER_H_

#include <absl/status/statusor.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>  // how gRPC reads and writes protobuf
#include <grpcpp/support/async_unary_call.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <string>
#include <utility>

#include "backends/client.h"
#include "backends/completion_thread.h"
#include "backends/grpc_call.h"
#include "backends/replica_set.h"
#include "tracing/span.h"

namespace backends {

// At destruction its calls are cancelled and waited for. Thread-safe.
class UnaryCaller {
 public:
  // `method`: "/duet.detector.v1.Detector/Detect". Errors are the service's, but for a CANCELLED
  // that wasn't us, which is Unavailable: the server drains.
  template <typename Response>
  boost::asio::awaitable<absl::StatusOr<Response>> Call(std::shared_ptr<Replica> replica,
                                                        std::string method,
                                                        grpc::ByteBuffer request,
                                                        CallOptions options);

  // For calls of another form: deadline and metadata, and the thread on which answers arrive.
  static void Prepare(grpc::ClientContext& context, const CallOptions& options);
  CompletionThread& completions() { return completions_; }
  CallTracker& tracker() { return tracker_; }

 private:
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

  CompletionThread completions_;
  CallTracker tracker_;  // last: goes first
};

template <typename Response>
boost::asio::awaitable<absl::StatusOr<Response>> UnaryCaller::Call(std::shared_ptr<Replica> replica,
                                                                   std::string method,
                                                                   grpc::ByteBuffer request,
                                                                   CallOptions options) {
  using OneCall = GrpcCall<Response>;
  tracing::Span span(options.traceparent, method, tracing::SpanKind::kClient);
  tracing::DescribeRpc(method, span);
  span.SetStr("server.address", replica->address);
  options.traceparent = span.traceparent();
  auto call = std::make_shared<OneCall>();
  call->request = std::move(request);
  Prepare(call->context, options);
  ++replica->in_flight;
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
  const grpc::Status status = co_await std::move(pending);
  span.SetInt("rpc.grpc.status_code", status.error_code());
  if (status.ok()) co_return std::move(call->response);
  const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
  if (status.error_code() == grpc::StatusCode::CANCELLED &&
      cancellation.cancelled() == boost::asio::cancellation_type::none) {
    absl::Status drains = absl::UnavailableError("it ended the call");
    span.SetStatus(drains);
    co_return drains;
  }
  absl::Status error(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  span.SetStatus(error);
  co_return error;
}

}  // namespace backends

#endif  // DUET_BACKENDS_UNARY_CALLER_H_
