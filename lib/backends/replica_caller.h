// One call to one replica: a request, and one answer or a stream of them. Internal to backends.
#ifndef DUET_BACKENDS_REPLICA_CALLER_H_
#define DUET_BACKENDS_REPLICA_CALLER_H_

#include <absl/status/statusor.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>  // how gRPC reads and writes protobuf
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/client.h"
#include "backends/completion_thread.h"
#include "backends/grpc_call.h"
#include "backends/replica_set.h"
#include "tracing/span.h"

namespace backends {

// All messages of a stream, as the one answer that it is to callers.
template <typename Message>
struct Streamed {
  std::vector<Message> messages;
  // Of the model that answers; each message says it.
  std::string model_version() const {
    return messages.empty() ? "" : messages.back().model().version();
  }
};

// At destruction its calls are cancelled and waited for. Thread-safe.
class ReplicaCaller {
 public:
  // `method`: "/duet.detector.v1.Detector/Detect". Response: the method's, or a Streamed of what it
  // streams. Errors are the service's, but for a CANCELLED that wasn't us, which is Unavailable:
  // the server drains. Of a stream that breaks off nothing is kept.
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
  template <typename Done>
  struct Ending : CompletionThread::Operation {
    Ending(std::shared_ptr<Replica> replica, Done done)
        : replica(std::move(replica)), done(std::move(done)) {}
    // REQUIRES: what reads is gone. Destroys this.
    void End() {
      const std::unique_ptr<Ending> self(this);
      --replica->in_flight;
      replica.reset();  // `done` is the last that may keep the channel
      done(std::move(status));
    }

    std::shared_ptr<Replica> replica;
    Done done;
    grpc::Status status;
  };

  template <typename Response, typename Done>
  struct OneAnswer final : Ending<Done> {
    using Ending<Done>::Ending;
    static void Start(std::unique_ptr<OneAnswer> self, const std::string& method,
                      GrpcCall<Response>& call, grpc::CompletionQueue* queue) {
      grpc::TemplatedGenericStub<grpc::ByteBuffer, Response> stub(self->replica->channel);
      self->reader = stub.PrepareUnaryCall(&call.context, method, call.request, queue);
      self->reader->StartCall();
      auto* const tag = self.release();
      tag->reader->Finish(&call.response, &tag->status, tag);
    }
    void Complete(bool /*ok*/) override {
      reader.reset();
      this->End();
    }

    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  };

  // Its steps follow each other, each with this as its tag. One that fails is followed by Finish,
  // which says why.
  template <typename Message, typename Done>
  struct AllAnswers final : Ending<Done> {
    using Ending<Done>::Ending;
    static void Start(std::unique_ptr<AllAnswers> self, const std::string& method,
                      GrpcCall<Streamed<Message>>& call, grpc::CompletionQueue* queue) {
      grpc::TemplatedGenericStub<grpc::ByteBuffer, Message> stub(self->replica->channel);
      self->call = &call;
      self->stream = stub.PrepareCall(&call.context, method, queue);
      auto* const tag = self.release();
      tag->stream->StartCall(tag);
    }
    void Complete(bool ok) override {
      if (step == Step::kFinish) {
        stream.reset();
        this->End();
      } else if (!ok) {
        step = Step::kFinish;
        stream->Finish(&this->status, this);
      } else if (step == Step::kStart) {
        step = Step::kSend;
        stream->Write(call->request, grpc::WriteOptions().set_last_message(), this);
      } else {
        if (step == Step::kRead) call->response.messages.push_back(std::move(message));
        step = Step::kRead;
        message.Clear();
        stream->Read(&message, this);
      }
    }

    enum class Step { kStart, kSend, kRead, kFinish } step = Step::kStart;
    GrpcCall<Streamed<Message>>* call = nullptr;  // kept by `done`
    Message message;
    std::unique_ptr<grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, Message>> stream;
  };

  template <typename Response, typename Done>
  struct AnswerOf {
    using Type = OneAnswer<Response, Done>;
  };
  template <typename Message, typename Done>
  struct AnswerOf<Streamed<Message>, Done> {
    using Type = AllAnswers<Message, Done>;
  };

  CompletionThread completions_;
  CallTracker tracker_;  // last: goes first
};

template <typename Response>
boost::asio::awaitable<absl::StatusOr<Response>> ReplicaCaller::Call(
    std::shared_ptr<Replica> replica, std::string method, grpc::ByteBuffer request,
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
    using Answer = typename AnswerOf<Response, decltype(done)>::Type;
    Answer::Start(std::make_unique<Answer>(replica, std::move(done)), method, one,
                  &completions_.queue());
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

#endif  // DUET_BACKENDS_REPLICA_CALLER_H_
