#include "async/await_callback.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace async {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

TEST(AwaitCallbackTest, ResumesOnItsOwnThreadThoughAnotherOneCallsBack) {
  asio::io_context context;
  std::thread::id resumed_on;
  std::string got;
  std::jthread other;

  const auto body = [&]() -> awaitable<void> {
    auto waiting = AwaitCallback<std::string>([&](std::function<void(std::string)> done) {
      other = std::jthread([done = std::move(done)] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // run() must not return early
        done("value");
      });
    });
    got = co_await std::move(waiting);
    resumed_on = std::this_thread::get_id();
  };
  asio::co_spawn(context, body(), [](std::exception_ptr error) { EXPECT_FALSE(error); });
  context.run();

  EXPECT_EQ(got, "value");
  EXPECT_EQ(resumed_on, std::this_thread::get_id());
}

TEST(AwaitCallbackTest, AnOperationMayCallBackAtOnceAndWithWhatOnlyMoves) {
  asio::io_context context;
  std::unique_ptr<int> got;

  const auto body = [&]() -> awaitable<void> {
    auto waiting =
        AwaitCallback<std::unique_ptr<int>>([](auto done) { done(std::make_unique<int>(7)); });
    got = co_await std::move(waiting);
  };
  asio::co_spawn(context, body(), [](std::exception_ptr error) { EXPECT_FALSE(error); });
  context.run();

  ASSERT_NE(got, nullptr);
  EXPECT_EQ(*got, 7);
}

TEST(AwaitCallbackTest, CancellingReachesTheOperationWhoseResultStillCounts) {
  asio::io_context context;
  asio::cancellation_signal signal;
  std::function<void(int)> pending;
  int cancelled = 0;
  int got = 0;

  const auto body = [&]() -> awaitable<void> {
    auto waiting = AwaitCallback<int>([&](std::function<void(int)> done) { pending = done; },
                                      [&] {
                                        ++cancelled;
                                        std::exchange(pending, nullptr)(-1);
                                      });
    got = co_await std::move(waiting);
  };
  asio::co_spawn(context, body(),
                 asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr) {}));
  context.poll();
  ASSERT_TRUE(pending);
  signal.emit(asio::cancellation_type::terminal);
  context.run();

  EXPECT_EQ(cancelled, 1);
  EXPECT_EQ(got, -1);
}

TEST(AwaitCallbackTest, AfterTheEndNothingIsCancelled) {
  asio::io_context context;
  asio::cancellation_signal signal;
  int cancelled = 0;
  bool resumed = false;

  const auto body = [&]() -> awaitable<void> {
    auto waiting = AwaitCallback<int>([](auto done) { done(1); }, [&] { ++cancelled; });
    co_await std::move(waiting);
    resumed = true;
    signal.emit(asio::cancellation_type::terminal);
  };
  asio::co_spawn(context, body(),
                 asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr) {}));
  context.run();

  EXPECT_TRUE(resumed);
  EXPECT_EQ(cancelled, 0);
}

}  // namespace
}  // namespace async
