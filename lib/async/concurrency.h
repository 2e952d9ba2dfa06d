// Three ways to run things side by side in coroutines.
//
// gcc 12 destroys temporaries inside a co_await expression twice. So here, and wherever these are
// used: put the awaitable into a variable, then `co_await std::move(variable)`
// (docs/adr/0502-gcc12-coroutines.md).
#ifndef DUET_ASYNC_CONCURRENCY_H_
#define DUET_ASYNC_CONCURRENCY_H_

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "async/await_callback.h"

namespace async {

// From this many bytes on, parsing a text costs more than handing it to another thread.
inline constexpr std::size_t kLargeText = 64 << 10;

// Runs `work` on a thread of `pool` and resumes on the coroutine's own executor. For computing that
// would keep an I/O thread for longer than a millisecond. `work` may not throw; it can't be
// cancelled.
template <typename Work>
auto OnPool(boost::asio::thread_pool& pool, Work work) {
  using Result = std::invoke_result_t<Work&>;
  return AwaitCallback<Result>([&pool, work = std::move(work)](auto done) mutable {
    boost::asio::post(pool,
                      [work = std::move(work), done = std::move(done)]() mutable { done(work()); });
  });
}

// Calls `one(0)` … `one(count - 1)`, at most `limit` at a time, each beginning in order; returns
// when all have finished. Cancelling cancels all. `one` may not throw (but for cancellation) and
// must outlive this.
inline boost::asio::awaitable<void> ForEachBounded(
    std::size_t count, std::size_t limit,
    const std::function<boost::asio::awaitable<void>(std::size_t)>& one) {
  namespace asio = boost::asio;
  std::size_t next = 0;
  const auto worker = [&next, count, &one]() -> asio::awaitable<void> {
    while (next < count) {
      auto step = one(next++);
      co_await std::move(step);
    }
  };
  if (count <= 1 || limit <= 1) {  // a group of no workers would never end
    auto alone = worker();
    co_await std::move(alone);
    co_return;
  }
  const auto executor = co_await asio::this_coro::executor;
  const auto start = [&] { return asio::co_spawn(executor, worker(), asio::deferred); };
  std::vector<decltype(start())> workers;
  for (std::size_t i = 0; i < std::min(limit, count); ++i) workers.push_back(start());
  auto group = asio::experimental::make_parallel_group(std::move(workers))
                   .async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  co_await std::move(group);
}

// Work that runs concurrently with the coroutine that started it, on the same strand. It is
// cancelled when this object goes, unless it was detached.
template <typename T>
class ConcurrentTask {
 public:
  // Starts the work. It may not throw.
  ConcurrentTask(boost::asio::any_io_executor strand, boost::asio::awaitable<T> work)
      : state_(std::make_shared<State>(strand)) {
    boost::asio::co_spawn(
        strand, std::move(work),
        boost::asio::bind_cancellation_slot(state_->cancel.slot(),
                                            [state = state_](std::exception_ptr, T result) {
                                              state->result = std::move(result);
                                              state->done.cancel();
                                            }));
  }
  ConcurrentTask(ConcurrentTask&&) = default;
  ~ConcurrentTask() { Cancel(); }

  // Waits for the result. REQUIRES: called once at most, and not after Cancel or Detach.
  boost::asio::awaitable<T> Get() {
    const auto state = state_;
    while (!state->result) {
      boost::system::error_code ignored;
      co_await state->done.async_wait(
          boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    co_return *std::move(state->result);
  }
  void Cancel() {
    if (state_ && !state_->result) state_->cancel.emit(boost::asio::cancellation_type::terminal);
    state_.reset();
  }
  // Lets the work run to its end; nobody gets its result.
  void Detach() { state_.reset(); }

 private:
  struct State {
    explicit State(const boost::asio::any_io_executor& strand)
        : done(strand, boost::asio::steady_timer::time_point::max()) {}
    boost::asio::cancellation_signal cancel;
    boost::asio::steady_timer done;  // cancelled when there is a result
    std::optional<T> result;
  };
  std::shared_ptr<State> state_;
};

}  // namespace async

#endif  // DUET_ASYNC_CONCURRENCY_H_
