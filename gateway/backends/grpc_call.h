// One unary gRPC call as an Asio operation: `co_await` instead of a callback on a gRPC thread.
//
// Internal to gateway_backends.
#ifndef DUET_GATEWAY_BACKENDS_GRPC_CALL_H_
#define DUET_GATEWAY_BACKENDS_GRPC_CALL_H_

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_set.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>

namespace gateway::backends {

// Knows the calls in flight, so that nothing is left of them when their client goes.
class CallTracker {
 public:
  // Cancels what is in flight and waits until every callback has run.
  ~CallTracker() {
    absl::MutexLock lock(&mutex_);
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    const auto none_left = [this]()
                               ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return contexts_.empty(); };
    mutex_.Await(absl::Condition(&none_left));
  }
  void Add(grpc::ClientContext* context) {
    absl::MutexLock lock(&mutex_);
    contexts_.insert(context);
  }
  void Remove(grpc::ClientContext* context) {
    absl::MutexLock lock(&mutex_);
    contexts_.erase(context);
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

// What a call needs for as long as gRPC works on it, which may be longer than its coroutine lives.
template <typename Request, typename Response>
struct GrpcCall {
  grpc::ClientContext context;
  std::shared_ptr<const Request> request;
  Response response;
};

// `start(call, done)` starts the call; gRPC calls `done` once, on a thread of its own. The
// coroutine resumes on its own executor. Terminal cancellation cancels the call, which then ends as
// CANCELLED.
template <typename Call, typename Start>
boost::asio::awaitable<grpc::Status> AwaitCall(CallTracker& tracker, std::shared_ptr<Call> call,
                                               Start start) {
  namespace asio = boost::asio;
  tracker.Add(&call->context);
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(grpc::Status)>(
      [&tracker, call, &start](auto handler) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
          slot.assign([call](asio::cancellation_type) { call->context.TryCancel(); });
        }
        auto executor = asio::prefer(asio::get_associated_executor(handler),
                                     asio::execution::outstanding_work.tracked);
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        start(*call, [&tracker, call, shared, executor, slot](grpc::Status status) {
          asio::post(executor, [shared, slot, status = std::move(status)]() mutable {
            if (slot.is_connected()) slot.clear();
            std::move (*shared)(std::move(status));
          });
          tracker.Remove(&call->context);
        });
      },
      asio::use_awaitable);
}

}  // namespace gateway::backends

#endif  // DUET_GATEWAY_BACKENDS_GRPC_CALL_H_
