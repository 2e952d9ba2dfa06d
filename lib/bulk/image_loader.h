// The bytes of a run's images: files are read here, addresses by image_fetch.
#ifndef DUET_BULK_IMAGE_LOADER_H_
#define DUET_BULK_IMAGE_LOADER_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "backends/client.h"
#include "bulk/item.h"
#include "bulk/listing.h"
#include "http_client/network.h"
#include "http_client/s3_access.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio_api/label_studio_site.h"

namespace bulk {

class ImageLoader {
 public:
  // `site`: whose tasks the images are, if they are any's. `fetcher` and `pool`, on which files are
  // read, outlive this.
  ImageLoader(const Listing& listing, image_fetch::ImageFetcher& fetcher,
              boost::asio::thread_pool& pool, std::int64_t max_bytes,
              std::shared_ptr<http_client::Network> network,
              label_studio_api::LabelStudioSite site = {})
      : listing_(listing),
        fetcher_(fetcher),
        pool_(pool),
        max_bytes_(max_bytes),
        network_(std::move(network)),
        site_(std::move(site)) {}

  // Errors, one sentence that names the image: those of ImageFetcher::Fetch, but:
  //   Unavailable         also if a file or object isn't there because its folder or bucket as a
  //                       whole has vanished, as when a disk is unmounted, or can't be read
  //   FailedPrecondition  the keys or the token of the source are refused: no image of it can be
  //                       had until somebody gives others
  // To be awaited from a variable.
  boost::asio::awaitable<absl::StatusOr<backends::ImageRef>> Load(const Item& item);

 private:
  absl::StatusOr<backends::ImageRef> ReadFile(const Item& item) const;

  const Listing listing_;
  image_fetch::ImageFetcher& fetcher_;
  boost::asio::thread_pool& pool_;
  const std::int64_t max_bytes_;
  const std::shared_ptr<http_client::Network> network_;
  const label_studio_api::LabelStudioSite site_;
  const http_client::S3Access s3_ = http_client::S3AccessFromEnvironment();
};

}  // namespace bulk

#endif  // DUET_BULK_IMAGE_LOADER_H_
