#include "async/concurrency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace async {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// Runs `body` to its end on one thread.
template <typename Body>
void RunToEnd(Body body) {
  asio::io_context context;
  bool done = false;
  asio::co_spawn(context, body(), [&](std::exception_ptr error) {
    EXPECT_FALSE(error);
    done = true;
  });
  context.run();
  EXPECT_TRUE(done);
}

awaitable<void> Sleep(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

TEST(OnPoolTest, ComputesElsewhereAndResumesHere) {
  asio::thread_pool pool(1);
  std::thread::id computed_on, resumed_on;
  int got = 0;

  const auto body = [&]() -> awaitable<void> {
    auto working = OnPool(pool, [&] {
      computed_on = std::this_thread::get_id();
      return 7;
    });
    got = co_await std::move(working);
    resumed_on = std::this_thread::get_id();
  };
  RunToEnd(body);

  EXPECT_EQ(got, 7);
  EXPECT_NE(computed_on, std::this_thread::get_id());
  EXPECT_EQ(resumed_on, std::this_thread::get_id());
}

TEST(ForEachBoundedTest, BeginsInOrderAndKeepsTheLimit) {
  std::vector<std::size_t> begun;
  int running = 0, most = 0;
  const std::function<awaitable<void>(std::size_t)> one = [&](std::size_t i) -> awaitable<void> {
    begun.push_back(i);
    most = std::max(most, ++running);
    auto sleeping = Sleep(std::chrono::milliseconds(5 - static_cast<int>(i)));
    co_await std::move(sleeping);
    --running;
  };
  const auto body = [&]() -> awaitable<void> {
    auto all = ForEachBounded(5, 2, one);
    co_await std::move(all);
  };
  RunToEnd(body);

  EXPECT_EQ(begun, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(most, 2);
  EXPECT_EQ(running, 0);
}

TEST(ForEachBoundedTest, OfNothingItEnds) {
  const std::function<awaitable<void>(std::size_t)> one = [](std::size_t) -> awaitable<void> {
    co_return;
  };
  bool ended = false;
  const auto body = [&]() -> awaitable<void> {
    auto all = ForEachBounded(0, 2, one);
    co_await std::move(all);
    ended = true;
  };
  RunToEnd(body);

  EXPECT_TRUE(ended);
}

TEST(ConcurrentTaskTest, ItsResultIsThereWhenItIsWaitedFor) {
  std::string order;
  const auto work = [&]() -> awaitable<std::optional<int>> {
    order += "begin ";
    auto sleeping = Sleep(std::chrono::milliseconds(5));
    co_await std::move(sleeping);
    order += "end ";
    co_return 7;
  };
  const auto body = [&]() -> awaitable<void> {
    ConcurrentTask<std::optional<int>> task(co_await asio::this_coro::executor, work());
    order += "meanwhile ";
    auto getting = task.Get();
    const std::optional<int> got = co_await std::move(getting);
    EXPECT_EQ(got, 7);
  };
  RunToEnd(body);

  EXPECT_EQ(order.substr(order.size() - 4), "end ");
  EXPECT_NE(order.find("meanwhile"), std::string::npos);
}

TEST(ConcurrentTaskTest, IsCancelledWithItsObjectUnlessItWasDetached) {
  int finished = 0, begun = 0;
  const auto work = [&]() -> awaitable<std::optional<int>> {
    ++begun;
    auto sleeping = Sleep(std::chrono::milliseconds(20));
    co_await std::move(sleeping);
    ++finished;
    co_return 1;
  };
  const auto body = [&]() -> awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    {
      ConcurrentTask<std::optional<int>> dropped(executor, work());
      ConcurrentTask<std::optional<int>> detached(executor, work());
      auto sleeping = Sleep(std::chrono::milliseconds(1));
      co_await std::move(sleeping);
      detached.Detach();
    }
    auto sleeping = Sleep(std::chrono::milliseconds(1));
    co_await std::move(sleeping);
  };
  RunToEnd(body);

  EXPECT_EQ(begun, 2);
  EXPECT_EQ(finished, 1);
}

}  // namespace
}  // namespace async
