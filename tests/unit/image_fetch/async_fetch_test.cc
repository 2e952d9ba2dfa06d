#include "image_fetch/async_fetch.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace image_fetch {
namespace {

namespace asio = boost::asio;

// Returns from Fetch only after the awaiting coroutine has come to its end on another thread.
class SlowToReturn final : public ImageFetcher {
 public:
  explicit SlowToReturn(std::future<void> ended) : ended_(std::move(ended)) {}

  FetchId Fetch(ImageRequest, Callback done) override {
    std::move(done)(std::make_shared<const FetchedImage>());
    ended_.wait();
    return 7;
  }
  std::shared_ptr<const FetchedImage> Find(const ImageRequest&) override { return nullptr; }
  void Cancel(FetchId) override {}
  Stats stats() const override { return {}; }

 private:
  std::future<void> ended_;
};

// A sanitizer tells if something of the coroutine is used after its end.
TEST(AsyncFetchTest, TheCoroutineMayEndBeforeFetchReturns) {
  std::promise<void> ended;
  SlowToReturn fetcher(ended.get_future());
  asio::io_context context(2);
  ImageFetcher::Result got = absl::UnknownError("");

  const auto body = [&]() -> asio::awaitable<void> {
    auto fetching = AsyncFetch(fetcher, ImageRequest{});
    got = co_await std::move(fetching);
  };
  asio::co_spawn(context, body(), [&](std::exception_ptr error) {
    EXPECT_FALSE(error);
    ended.set_value();
  });
  {
    std::jthread other([&] { context.run(); });
    context.run();
  }

  ASSERT_TRUE(got.ok());
  EXPECT_NE(*got, nullptr);
}

}  // namespace
}  // namespace image_fetch
