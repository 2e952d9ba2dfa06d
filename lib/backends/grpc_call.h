// One unary gRPC call as an Asio operation: `co_await` instead of a callback on a gRPC thread.
//
// Internal to backends.
#ifndef DUET_BACKENDS_GRPC_CALL_H_
#define DUET_BACKENDS_GRPC_CALL_H_

#include <absl/container/flat_hash_set.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace backends {

// Knows the calls in flight, so that nothing is left of them when their client goes.
class CallTracker {
 public:
  // Cancels what is in flight and waits until every callback has run and let go of its call. A
  // channel that went with the last call on one of gRPC's own threads would wait there for that
  // very thread.
  ~CallTracker() {
    std::unique_lock lock(mutex_);
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    none_left_.wait(lock, [this] { return running_ == 0; });
  }
  void Add(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    contexts_.insert(context);
    ++running_;
  }
  // The last thing that a callback does. `owner` keeps `context` alive and may keep its channel.
  template <typename Owner>
  void Finish(grpc::ClientContext* context, std::shared_ptr<Owner> owner) {
    {
      const std::lock_guard lock(mutex_);
      contexts_.erase(context);
    }
    owner.reset();  // outside of the lock, and before anyone may think that nothing is left
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) none_left_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_left_;
  absl::flat_hash_set<grpc::ClientContext*> contexts_;  // guarded by mutex_
  int running_ = 0;                                     // guarded by mutex_
};

// What a call needs for as long as gRPC works on it, which may be longer than its coroutine lives.
template <typename Response>
struct GrpcCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  Response response;
};

// `start(call, done)` starts the call once this is awaited; gRPC calls `done` once, on a thread of
// its own, and nothing that `start` holds may live on there. The coroutine resumes on its own
// executor. Terminal cancellation cancels the call, which then ends as CANCELLED.
//
// Not a coroutine itself, and to be awaited from a variable: gcc 12 destroys lambdas inside a
// co_await expression twice.
template <typename Call, typename Start>
boost::asio::awaitable<grpc::Status> AwaitCall(CallTracker& tracker, std::shared_ptr<Call> call,
                                               Start start) {
  namespace asio = boost::asio;
  auto initiate = [&tracker, call = std::move(call), start = std::move(start)](auto handler) {
    tracker.Add(&call->context);
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([call](asio::cancellation_type) { call->context.TryCancel(); });
    }
    auto executor = asio::prefer(asio::get_associated_executor(handler),
                                 asio::execution::outstanding_work.tracked);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start(*call, [&tracker, call, shared, executor, slot](grpc::Status status) mutable {
      auto resume = [shared = std::move(shared), slot, status = std::move(status)]() mutable {
        if (slot.is_connected()) slot.clear();
        std::move (*shared)(std::move(status));
      };
      {
        const auto on = std::move(executor);  // counts as work of its context: ends here
        asio::post(on, std::move(resume));
      }
      grpc::ClientContext* const context = &call->context;
      tracker.Finish(context, std::move(call));
    });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(grpc::Status)>(
      std::move(initiate), asio::use_awaitable);
}

}  // namespace backends

#endif  // DUET_BACKENDS_GRPC_CALL_H_
