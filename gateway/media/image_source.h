// Where a task's image is: the string in its data, told apart into the ways in which it can be
// fetched.
#ifndef DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_
#define DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace gateway::media {

enum class SourceKind {
  kData,         // data:image/jpeg;base64,...
  kHttp,         // http(s) on another host than Label Studio's: no token goes there
  kLabelStudio,  // below Label Studio's URL (uploads, /data/local-files/, ...): with token
  kLocalFile,    // /data/local-files/?d=... read from --local_files_root
  kObjectStore,  // s3://, gs://, azure-blob://: through Label Studio's presign, or s3 with our own
                 // keys
};

struct ImageSource {
  SourceKind kind = SourceKind::kHttp;
  // kHttp, kLabelStudio: the absolute URL, escaped. kData, kObjectStore: the URI as it came.
  // kLocalFile: the path below the root, unescaped, not yet checked.
  std::string location;
};

// `label_studio_url` may be "": relative URIs are then FailedPrecondition, naming the flag to set.
// InvalidArgument for an empty string, an unknown scheme, a URL that isn't one or has credentials
// in it.
absl::StatusOr<ImageSource> ClassifyUri(std::string_view uri, std::string_view label_studio_url,
                                        bool has_local_files_root);

// For logs and errors: scheme, host and path without query, credentials or fragment; data URIs only
// their type; at most 200 characters.
std::string RedactUri(std::string_view uri);

}  // namespace gateway::media

#endif  // DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_
