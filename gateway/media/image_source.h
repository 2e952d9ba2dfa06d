// Where a task's image is: the string in its data, told apart into the ways in which it can be
// fetched.
#ifndef DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_
#define DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/media/label_studio_site.h"

namespace gateway::media {

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
absl::StatusOr<ImageSource> ClassifyUri(std::string_view uri, const LabelStudioSite& site,
                                        bool has_local_files_root);

// "http://host:80" of a URL: scheme, host in lower case, port always there. "" if it isn't an
// http(s) URL.
std::string Origin(std::string_view url);

// For logs and errors: scheme, host and path without query, credentials or fragment; data URIs only
// their type; about 200 bytes at most, and valid UTF-8.
std::string RedactUri(std::string_view uri);

// "a%20b" to "a b"; a % without two hexadecimal digits stays. `plus_is_space`: as in queries.
std::string PercentDecode(std::string_view text, bool plus_is_space);

// All but letters, digits and "-._~" and the characters of `keep` as %XX.
std::string PercentEncode(std::string_view text, std::string_view keep);

// The bytes in a data URI. InvalidArgument if it has no comma, is not base64, or holds more than
// `max_bytes`.
absl::StatusOr<std::string> DecodeDataUri(std::string_view uri, std::int64_t max_bytes);

}  // namespace gateway::media

#endif  // DUET_GATEWAY_MEDIA_IMAGE_SOURCE_H_
