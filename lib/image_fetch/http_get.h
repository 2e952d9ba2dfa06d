// Getting an image by http(s): what all sources that ask a server have in common. Internal to
// image_fetch.
#ifndef DUET_IMAGE_FETCH_HTTP_GET_H_
#define DUET_IMAGE_FETCH_HTTP_GET_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "image_fetch/download.h"
#include "image_fetch/image_source.h"

namespace http_client {
struct HttpRequest;
struct HttpResponse;
}  // namespace http_client

namespace image_fetch {

// The request for an absolute, escaped `url`, with the validators of what the cache has.
http_client::HttpRequest MakeImageRequest(const Download& download, const FetchContext& context,
                                          const std::string& url);

// The image in a response of status 200, or of 304 to the validators; else ErrorOf.
absl::StatusOr<LoadedImage> TakeImage(const Download& download, const std::string& url,
                                      http_client::HttpResponse response);

// A redirect's status.
bool IsRedirect(int http_status);

struct GetOptions {
  // The URL is Label Studio's: it has the site's trust and token, as far as PermitFor allows, and
  // so has every redirect until one leads elsewhere.
  bool on_site = false;
  // What helps if Label Studio itself answers 404.
  std::string_view not_found_remedy = "";
};

// From `url`, through redirects.
boost::asio::awaitable<absl::StatusOr<LoadedImage>> GetImage(std::shared_ptr<Download> download,
                                                             FetchContext& context, std::string url,
                                                             GetOptions options);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_HTTP_GET_H_
