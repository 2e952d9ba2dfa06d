#include "image_fetch/async_fetch.h"

#include <atomic>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

namespace image_fetch {

// Not a coroutine: gcc 12 destroys a lambda inside a co_await expression twice
// (docs/adr/0502-gcc12-coroutines.md).
boost::asio::awaitable<ImageFetcher::Result> AsyncFetch(ImageFetcher& fetcher,
                                                        ImageRequest request) {
  namespace asio = boost::asio;
  auto initiate = [&fetcher, request = std::move(request)](auto handler) mutable {
    auto slot = asio::get_associated_cancellation_slot(handler);
    const auto executor = asio::get_associated_executor(handler);
    // Before the fetch begins: its completion, which clears the slot, may run on another thread.
    auto id = std::make_shared<std::atomic<ImageFetcher::FetchId>>(0);
    if (slot.is_connected()) {
      slot.assign([&fetcher, id](asio::cancellation_type) { fetcher.Cancel(*id); });
    }
    // The executor must not run out of work while the fetch is elsewhere.
    auto guard = asio::make_work_guard(executor);
    *id = fetcher.Fetch(std::move(request), [handler = std::move(handler), guard = std::move(guard),
                                             executor, slot](ImageFetcher::Result fetched) mutable {
      asio::post(executor,
                 [handler = std::move(handler), slot, fetched = std::move(fetched)]() mutable {
                   if (slot.is_connected()) slot.clear();
                   std::move(handler)(std::move(fetched));
                 });
      guard.reset();
    });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(ImageFetcher::Result)>(
      std::move(initiate), asio::use_awaitable);
}

}  // namespace image_fetch
