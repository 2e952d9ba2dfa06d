// Awaiting an image in an Asio coroutine, from a variable (docs/adr/0502-gcc12-coroutines.md):
//
//   auto fetching = AsyncFetch(fetcher, std::move(request));
//   auto image = co_await std::move(fetching);
//
// Resumes on the coroutine's own executor. Cancelling the coroutine's operation cancels the fetch,
// which then gives Cancelled like any other error (it doesn't throw).
#ifndef DUET_IMAGE_FETCH_ASYNC_FETCH_H_
#define DUET_IMAGE_FETCH_ASYNC_FETCH_H_

#include <boost/asio/awaitable.hpp>

#include "image_fetch/image_fetcher.h"

namespace image_fetch {

// `fetcher` must outlive the coroutine.
boost::asio::awaitable<ImageFetcher::Result> AsyncFetch(ImageFetcher& fetcher,
                                                        ImageRequest request);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_ASYNC_FETCH_H_
