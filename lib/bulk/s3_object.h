// One object of an S3 bucket: read by ranges, and put by one request, so that it is there as a
// whole or not at all. For stored_object.h, which says what errors mean.
#ifndef DUET_BULK_S3_OBJECT_H_
#define DUET_BULK_S3_OBJECT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "bulk/stored_object.h"

namespace bulk {

// Reads all of its parts from the object as it is now: if it is replaced meanwhile, reading fails.
absl::StatusOr<std::unique_ptr<StoredObject>> OpenS3Object(
    const std::string& address, std::shared_ptr<http_client::Network> network);

// Up to 5 GiB, which is what one request may have.
absl::Status PutS3Object(const std::string& file, const std::string& address,
                         std::shared_ptr<http_client::Network> network);

}  // namespace bulk

#endif  // DUET_BULK_S3_OBJECT_H_
