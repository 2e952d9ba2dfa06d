#include "image_fetch/async_fetch.h"

#include <atomic>
#include <memory>
#include <utility>

#include "async/await_callback.h"

namespace image_fetch {

boost::asio::awaitable<ImageFetcher::Result> AsyncFetch(ImageFetcher& fetcher,
                                                        ImageRequest request) {
  // The fetch may end on another thread before Fetch has returned.
  auto id = std::make_shared<std::atomic<ImageFetcher::FetchId>>(0);
  return async::AwaitCallback<ImageFetcher::Result>(
      [&fetcher, id, request = std::move(request)](auto done) mutable {
        // Before Fetch returns, the coroutine may have ended, and `id` of this lambda with it.
        const auto kept = id;
        *kept = fetcher.Fetch(std::move(request), std::move(done));
      },
      [&fetcher, id] { fetcher.Cancel(*id); });
}

}  // namespace image_fetch
