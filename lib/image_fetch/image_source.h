// Where a task's image is: the string in its data, told apart into the ways in which it can be
// fetched.
#ifndef DUET_IMAGE_FETCH_IMAGE_SOURCE_H_
#define DUET_IMAGE_FETCH_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "label_studio_api/label_studio_site.h"

namespace image_fetch {

enum class SourceKind {
  kData,         // data:image/jpeg;base64,...
  kHttp,         // http(s) elsewhere: no token goes there, nor anywhere that it leads to
  kLabelStudio,  // below Label Studio's URL (uploads, /data/local-files/, ...): PermitFor says how
  kLocalFile,    // /data/local-files/?d=... read from --local_files_root
  kObjectStore,  // s3://, gs://, azure-blob://: through Label Studio's presign, or s3 with our own
                 // keys
};

struct ImageSource {
  SourceKind kind = SourceKind::kHttp;
  // kHttp, kLabelStudio: the absolute URL, escaped, without fragment. kData, kObjectStore: the URI
  // as it came. kLocalFile: the path below the root, unescaped, not yet checked.
  std::string location;
};

// InvalidArgument for an empty string, an unknown scheme, a URL that isn't one or has credentials
// in it. FailedPrecondition for a relative URI without a site.
absl::StatusOr<ImageSource> ClassifyUri(std::string_view uri,
                                        const label_studio_api::LabelStudioSite& site,
                                        bool has_local_files_root);

// The bytes in a data URI. InvalidArgument if it has no comma, is not base64, or holds more than
// `max_bytes`.
absl::StatusOr<std::string> DecodeDataUri(std::string_view uri, std::int64_t max_bytes);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_IMAGE_SOURCE_H_
