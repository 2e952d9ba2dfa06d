// The bytes of a request's picture: sent along, or a file that the operator lets clients name.
#ifndef DUET_SEGMENTER_SERVICE_RPC_IMAGE_SOURCE_H_
#define DUET_SEGMENTER_SERVICE_RPC_IMAGE_SOURCE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "duet/vision/v1/image.pb.h"

namespace segmenter {

// `image.data`, as a view into the message, or the contents of the file:// URI below `root`, as a
// view into `storage`. InvalidArgument if there is neither or the URI is malformed,
// PermissionDenied for files outside of `root` (symbolic links followed) or if `root` is empty,
// NotFound, ResourceExhausted for more than `max_bytes`.
absl::StatusOr<std::string_view> ReadImageBytes(const duet::vision::v1::Image& image,
                                                const std::string& root, std::int64_t max_bytes,
                                                std::string* storage);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_IMAGE_SOURCE_H_
