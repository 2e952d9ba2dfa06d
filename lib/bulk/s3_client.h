// Asks an S3 store with the keys of the environment, and says in one sentence what it refuses.
#ifndef DUET_BULK_S3_CLIENT_H_
#define DUET_BULK_S3_CLIENT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>

#include "http_client/address_policy.h"
#include "http_client/http_message.h"
#include "http_client/network.h"
#include "http_client/s3_access.h"
#include "http_client/transfer.h"

namespace bulk {

class S3Client {
 public:
  // `address`: of what is asked for, "s3://…"; messages name it. FailedPrecondition without keys.
  static absl::StatusOr<std::unique_ptr<S3Client>> Make(
      http_client::S3Access s3, std::shared_ptr<http_client::Network> network, std::string address);

  const http_client::S3Access& s3() const { return s3_; }
  // Signs the request, sends it and waits. An answer of the status `wanted`; else
  // FailedPrecondition (no such bucket, or it is in another region), NotFound, Unauthenticated (the
  // keys have expired, or aren't known), PermissionDenied, InvalidArgument, DataLoss (If-Match
  // didn't), OutOfRange (no such bytes); Unavailable and DeadlineExceeded, worth another try.
  // `rights`: what it takes, "s3:ListBucket".
  absl::StatusOr<http_client::HttpResponse> Ask(http_client::HttpRequest request, int wanted,
                                                std::string_view rights);
  // With the address before the sentence.
  absl::Status Named(absl::StatusCode code, std::string_view sentence) const;

 private:
  S3Client(http_client::S3Access s3, std::string address, http_client::AddressPolicy policy,
           std::shared_ptr<http_client::Network> network);

  absl::Status ErrorOf(const http_client::HttpResponse& answer, std::string_view rights) const;

  const http_client::S3Access s3_;
  const std::string address_;
  const http_client::AddressPolicy policy_;
  http_client::TransferLoop loop_;  // last: its thread uses the others
};

}  // namespace bulk

#endif  // DUET_BULK_S3_CLIENT_H_
