// One unary gRPC call as an Asio operation: `co_await` instead of a callback on a gRPC thread.
//
// Internal to backends.
#ifndef DUET_BACKENDS_GRPC_CALL_H_
#define DUET_BACKENDS_GRPC_CALL_H_

#include <absl/container/flat_hash_set.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <boost/asio/awaitable.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "async/await_callback.h"

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
// To be awaited from a variable, as async::AwaitCallback.
template <typename Call, typename Start>
boost::asio::awaitable<grpc::Status> AwaitCall(CallTracker& tracker, std::shared_ptr<Call> call,
                                               Start start) {
  auto cancel = [call] { call->context.TryCancel(); };
  auto begin = [&tracker, call = std::move(call), start = std::move(start)](auto done) mutable {
    tracker.Add(&call->context);
    start(*call, [&tracker, call, done = std::move(done)](grpc::Status status) mutable {
      done(std::move(status));
      grpc::ClientContext* const context = &call->context;
      tracker.Finish(context, std::move(call));
    });
  };
  return async::AwaitCallback<grpc::Status>(std::move(begin), std::move(cancel));
}

}  // namespace backends

#endif  // DUET_BACKENDS_GRPC_CALL_H_
