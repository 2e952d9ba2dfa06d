// From bytes to an image that can be handed out, on a thread that nobody waits for. Internal to
// image_fetch.
#ifndef DUET_IMAGE_FETCH_READ_IMAGE_H_
#define DUET_IMAGE_FETCH_READ_IMAGE_H_

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "image_fetch/download.h"
#include "image_fetch/image_fetcher.h"
#include "image_fetch/image_source.h"

namespace image_fetch {

// Calls `read` on one of `threads` and makes the image of what it returns: checks its header
// against the limits of the options and hashes it. `read` owns what it uses, since it may go on
// without us. Errors: those of `read`; InvalidArgument (not an image, too large), DeadlineExceeded,
// Unavailable (`threads` has no place), Cancelled.
boost::asio::awaitable<ImageFetcher::Result> ReadImage(
    std::shared_ptr<Download> download, FetchContext& context,
    http_client::DetachedThreads& threads,
    absl::AnyInvocable<absl::StatusOr<std::string>() &&> read);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_READ_IMAGE_H_
