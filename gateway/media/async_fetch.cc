#include "gateway/media/async_fetch.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace gateway::media {

boost::asio::awaitable<ImageFetcher::Result> AsyncFetch(ImageFetcher& fetcher,
                                                        ImageRequest request) {
  const auto executor = co_await boost::asio::this_coro::executor;
  ImageFetcher::Result result =
      co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&,
                                           void(ImageFetcher::Result)>(
          [&fetcher, executor](auto handler, ImageRequest wanted) {
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            // The executor must not run out of work while the fetch is elsewhere.
            auto guard = boost::asio::make_work_guard(executor);
            const ImageFetcher::FetchId id = fetcher.Fetch(
                std::move(wanted), [handler = std::move(handler), guard = std::move(guard),
                                    executor, slot](ImageFetcher::Result fetched) mutable {
                  boost::asio::post(executor, [handler = std::move(handler), slot,
                                               fetched = std::move(fetched)]() mutable {
                    if (slot.is_connected()) slot.clear();
                    std::move(handler)(std::move(fetched));
                  });
                  guard.reset();
                });
            // This runs on `executor`, as the completion will: it can't come before.
            if (slot.is_connected()) {
              slot.assign([&fetcher, id](boost::asio::cancellation_type) { fetcher.Cancel(id); });
            }
          },
          boost::asio::use_awaitable, std::move(request));
  co_return result;
}

}  // namespace gateway::media
