// Awaits an operation that reports its end by a callback, such as a gRPC call or a Redis command.
#ifndef DUET_ASYNC_AWAIT_CALLBACK_H_
#define DUET_ASYNC_AWAIT_CALLBACK_H_

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace async {

// For operations that can't be cancelled.
struct NotCancellable {
  void operator()() const {}
};

// Calls `start(done)` once this is awaited. `done` is a copyable function that takes a Result; it
// is called exactly once, on any thread, perhaps before `start` returns, and ends in a post: the
// coroutine resumes on its own executor, which doesn't run out of work meanwhile. `done` keeps
// nothing of `start` and `cancel`.
//
// Once `start` has handed `done` over, it uses nothing of its own any more: the coroutine may have
// resumed and ended on another thread, and `start` with it. What it needs later it copies into a
// local variable before. Only where the coroutine's executor is a strand, or runs on one thread,
// and `start` is called there, the coroutine can't resume before `start` has returned.
//
// `cancel()` is called if the coroutine is cancelled while it waits, on the thread that cancels;
// the operation should then call `done` soon. This may happen after `done` was called, as long as
// the coroutine hasn't resumed.
//
// To be awaited from a variable, and not a coroutine itself: gcc 12 destroys lambdas inside a
// co_await expression twice (docs/adr/0502-gcc12-coroutines.md).
template <typename Result, typename Start, typename Cancel = NotCancellable>
boost::asio::awaitable<Result> AwaitCallback(Start start, Cancel cancel = {}) {
  namespace asio = boost::asio;
  auto initiate = [start = std::move(start), cancel = std::move(cancel)](auto handler) mutable {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if constexpr (!std::is_same_v<Cancel, NotCancellable>) {
      if (slot.is_connected()) {
        slot.assign([cancel = std::move(cancel)](asio::cancellation_type) mutable { cancel(); });
      }
    }
    auto executor = asio::prefer(asio::get_associated_executor(handler),
                                 asio::execution::outstanding_work.tracked);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start(
        [shared = std::move(shared), executor = std::move(executor), slot](Result result) mutable {
          auto resume = [shared = std::move(shared), slot, result = std::move(result)]() mutable {
            if (slot.is_connected()) slot.clear();
            std::move (*shared)(std::move(result));
          };
          const auto on = std::move(executor);  // counts as work of its context until here
          asio::post(on, std::move(resume));
        });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Result)>(std::move(initiate),
                                                                            asio::use_awaitable);
}

}  // namespace async

#endif  // DUET_ASYNC_AWAIT_CALLBACK_H_
