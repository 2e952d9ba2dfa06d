// What is left of a call when its client goes. gRPC is played by a thread that keeps the callback.
#include "backends/grpc_call.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <thread>

namespace backends {
namespace {

using FakeCall = GrpcCall<int>;

TEST(CallTrackerTest, WhenItGoesNoCallbackHoldsItsCall) {
  boost::asio::io_context io;
  std::optional<CallTracker> tracker(std::in_place);
  std::function<void(grpc::Status)> callback;
  std::weak_ptr<FakeCall> watched;
  bool resumed = false;
  {
    auto call = std::make_shared<FakeCall>();
    watched = call;
    auto work = [&](std::shared_ptr<FakeCall> mine) -> boost::asio::awaitable<void> {
      auto start = [&callback](FakeCall&, auto done) { callback = std::move(done); };
      auto pending = AwaitCall(*tracker, std::move(mine), std::move(start));
      const grpc::Status status = co_await std::move(pending);
      resumed = status.ok();
    };
    boost::asio::co_spawn(io, work(std::move(call)), boost::asio::detached);
  }
  io.poll();
  ASSERT_TRUE(callback);

  std::thread grpc_thread([&] { callback(grpc::Status::OK); });
  tracker.reset();
  grpc_thread.join();
  io.restart();
  io.run();

  EXPECT_TRUE(resumed);
  EXPECT_TRUE(callback);  // gRPC still has the callback; it must be empty by now
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace backends
