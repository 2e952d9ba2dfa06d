// The objects of an S3 bucket, listed by ListObjectsV2. Calls wait for the answer.
#ifndef DUET_BULK_S3_LISTING_H_
#define DUET_BULK_S3_LISTING_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "bulk/patience.h"
#include "http_client/network.h"
#include "http_client/s3_access.h"

namespace bulk {

// Calls `on_object` with the address of each object, "s3://bucket/key", whose address begins with
// `prefix`, "s3://bucket/" or longer, in the order of their keys. Errors are those of S3Client. A
// page that fails for a reason that may pass is asked for again within `patience`.
absl::Status ListObjects(const http_client::S3Access& s3,
                         std::shared_ptr<http_client::Network> network, const std::string& prefix,
                         const Patience& patience,
                         absl::FunctionRef<void(std::string_view address)> on_object);

// OK if the bucket of this address is there and may be listed; else an error as above.
absl::Status CheckBucket(const http_client::S3Access& s3,
                         std::shared_ptr<http_client::Network> network, const std::string& address);

}  // namespace bulk

#endif  // DUET_BULK_S3_LISTING_H_
