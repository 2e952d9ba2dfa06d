// All places that images come from. Internal to image_fetch.
#ifndef DUET_IMAGE_FETCH_SOURCES_H_
#define DUET_IMAGE_FETCH_SOURCES_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http_client/s3_access.h"
#include "image_fetch/image_fetcher.h"
#include "image_fetch/image_source.h"

namespace image_fetch {

// Each in the file of its name (data_uri_source.cc).

// "data:image/jpeg;base64,...".
std::unique_ptr<ImageSource> MakeDataUriSource();
// "s3://bucket/key" with keys of our own; without, no string is its own.
std::unique_ptr<ImageSource> MakeS3Source(http_client::S3Access s3);
// "s3://", "gs://" and "azure-blob://" through Label Studio's presign of the task.
std::unique_ptr<ImageSource> MakePresignedSource();
// Label Studio's "/data/local-files/?d=..." read below `root`, a canonical path; "": no string is
// its own.
std::unique_ptr<ImageSource> MakeLocalFileSource(std::string root);
// What is below Label Studio's URL: uploads, /data/local-files/, ... PermitFor says what the
// requests may use of the site.
std::unique_ptr<ImageSource> MakeLabelStudioSource();
// Any other http(s) URL: no token goes there, nor anywhere that it leads to.
std::unique_ptr<ImageSource> MakeHttpSource();

using ImageSources = std::vector<std::unique_ptr<ImageSource>>;

// The first one in this order that takes a string for its own gets it.
inline ImageSources MakeImageSources(const ImageFetcher::Options& options) {
  ImageSources sources;
  sources.push_back(MakeDataUriSource());
  sources.push_back(MakeS3Source(options.s3));
  sources.push_back(MakePresignedSource());
  sources.push_back(MakeLocalFileSource(options.local_files_root));
  sources.push_back(MakeLabelStudioSource());
  sources.push_back(MakeHttpSource());
  return sources;
}
inline constexpr char kKnownForms[] =
    "http(s)://, /data/..., data:, s3://, gs://, azure-blob://";  // in errors

// "http://" or "https://", in any case of letters.
bool HasHttpScheme(std::string_view uri);

// Any thread. InvalidArgument for an empty string, an unknown scheme, a URL that isn't one or has
// credentials in it; FailedPrecondition for a path on a Label Studio whose address isn't known.
absl::StatusOr<ImageLocation> Locate(const ImageSources& sources, const ImageRequest& request);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_SOURCES_H_
