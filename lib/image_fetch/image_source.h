// One kind of place that the image string of a task may point at: a file, a URL, an object store.
//
// A source says which strings are its own and gets the bytes behind them. sources.h lists all
// sources: another one is a file of its own and a line there.
#ifndef DUET_IMAGE_FETCH_IMAGE_SOURCE_H_
#define DUET_IMAGE_FETCH_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "image_fetch/image_cache.h"
#include "image_fetch/image_fetcher.h"

namespace http_client {
class DetachedThreads;
class TransferLoop;
}  // namespace http_client
namespace label_studio_api {
class LabelStudioTokens;
}

namespace image_fetch {

class ImageSource;
struct Download;  // download.h

// Where one image is, as its source has understood the string.
struct ImageLocation {
  const ImageSource* source = nullptr;
  // What the source needs to get it: an absolute URL, escaped and without fragment; a path; or the
  // string as it came.
  std::string address;
  // What CacheKey makes of all that the answer depends on. "": every request is fetched anew.
  std::string cache_key;
  // Whether a failure that lasts (no such file, not an image) is worth remembering.
  bool failures_last = true;
  // Fetches of one lane wait for the same host or file system (fetch_queue.h).
  std::string lane;
};

// The image string of a request, read once for all sources.
struct ImageUri {
  std::string_view text;  // without white space around it, not empty
  // Of a string that begins with http(s)://: what http_client::NormalizeUrl makes of it. Else, and
  // if it is no URL, nothing.
  std::optional<std::string> url;
  // The escaped path below the site's URL ("/data/upload/1/a%20b.jpg", with its query) of a string
  // that is such a path, or of a URL below the site's or an alias's. Else nothing.
  std::optional<std::string> label_studio_path;
};

// What a server or a file gave.
struct LoadedImage {
  std::string bytes;
  std::shared_ptr<const FetchedImage> image;  // null: yet to be made of `bytes`
  Validators validators;
  bool not_modified = false;  // the cached image still holds; all else is empty
};

// What sources fetch with.
struct FetchContext {
  const ImageFetcher::Options& options;
  http_client::TransferLoop& loop;
  label_studio_api::LabelStudioTokens& tokens;
  http_client::DetachedThreads& file_threads;   // reading local files; some of them may hang
  http_client::DetachedThreads& image_threads;  // decoding of data URIs, and hashing
};

// Outlives the fetcher's transfers.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // "http"; each source has its own.
  virtual std::string_view name() const = 0;

  // Any thread. Nothing if the string is not of this source's form, an error if it is but can't be
  // used. `uri` is what request.uri says.
  virtual absl::StatusOr<std::optional<ImageLocation>> Locate(
      const ImageUri& uri, const ImageRequest& request) const = 0;

  // On the loop's thread; one sentence in errors (ImageFetcher::Fetch says which). REQUIRES: the
  // download's location is one that Locate of this source gave. `context` outlives the coroutine.
  virtual boost::asio::awaitable<absl::StatusOr<LoadedImage>> Load(
      std::shared_ptr<Download> download, FetchContext& context) const = 0;
};

// A digest, so that it is short and no token lies about. `source`: the source's name.
std::string CacheKey(std::string_view source, std::string_view address);
// Of what Label Studio decides: what one token may see, another may not, and a site that the
// operator didn't name may not be at every address. `task_id`: 0 if the task makes no difference.
std::string CacheKey(std::string_view source, std::string_view address,
                     const label_studio_api::LabelStudioSite& site, std::int64_t task_id);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_IMAGE_SOURCE_H_
