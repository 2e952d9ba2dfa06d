#include "bulk/s3_client.h"

#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <utility>

#include "bulk/item.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using http_client::HttpResponse;
using text::StrCat;

// What a storage says of keys that are of no use for anything any more.
constexpr std::array<std::string_view, 5> kKeyErrors = {"ExpiredToken", "InvalidAccessKeyId",
                                                        "InvalidToken", "SignatureDoesNotMatch",
                                                        "TokenRefreshRequired"};

// The code in an answer that is an error; "" if there is none.
std::string ErrorCode(const std::string& body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return "";
  return document.child("Error").child_value("Code");
}

}  // namespace

absl::StatusOr<std::unique_ptr<S3Client>> S3Client::Make(
    http_client::S3Access s3, std::shared_ptr<http_client::Network> network, std::string address) {
  if (!s3.enabled()) {
    return absl::FailedPreconditionError(
        StrCat(Shown(address), ": needed: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the ",
               "profile of AWS's own tools"));
  }
  auto policy = http_client::AddressPolicy::Make({}, /*allow_all_private=*/true);
  if (!policy.ok()) return policy.status();
  return std::unique_ptr<S3Client>(
      new S3Client(std::move(s3), std::move(address), *std::move(policy), std::move(network)));
}

S3Client::S3Client(http_client::S3Access s3, std::string address, http_client::AddressPolicy policy,
                   std::shared_ptr<http_client::Network> network)
    : s3_(std::move(s3)),
      address_(std::move(address)),
      policy_(std::move(policy)),
      loop_(policy_, std::move(network)) {}

absl::StatusOr<HttpResponse> S3Client::Ask(http_client::HttpRequest request, int wanted,
                                           std::string_view rights) {
  request.sign_for = &s3_;
  request.trusted = true;
  absl::StatusOr<HttpResponse> answer = http_client::PerformAndWait(loop_, std::move(request));
  if (!answer.ok()) {
    return Named(answer.status().code(), text::StdView(answer.status().message()));
  }
  if (answer->status != wanted) return ErrorOf(*answer, rights);
  return answer;
}

absl::Status S3Client::Named(absl::StatusCode code, std::string_view sentence) const {
  return absl::Status(code, StrCat(Shown(address_), ": ", sentence));
}

absl::Status S3Client::ErrorOf(const HttpResponse& answer, std::string_view rights) const {
  if (!answer.bucket_region.empty() && answer.bucket_region != s3_.region) {
    return Named(absl::StatusCode::kFailedPrecondition,
                 StrCat("the bucket is in the region ", answer.bucket_region,
                        ", and was asked for in ", s3_.region, "; set AWS_REGION"));
  }
  const std::string code = ErrorCode(answer.body);
  if (std::find(kKeyErrors.begin(), kKeyErrors.end(), code) != kKeyErrors.end()) {
    return Named(absl::StatusCode::kUnauthenticated,
                 StrCat("the storage refuses the keys: ", code, "; needed: others in ",
                        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or in ",
                        "the profile of AWS's own tools"));
  }
  if (code == "RequestTimeTooSkewed") {
    return Named(absl::StatusCode::kUnauthenticated,
                 StrCat("the storage refuses what is signed by this machine's clock: ", code,
                        "; needed: the right time"));
  }
  if (code == "RequestTimeout") {  // with 400: it has waited for bytes that didn't come
    return Named(absl::StatusCode::kUnavailable, StrCat("the storage answered ", code));
  }
  if (code == "NoSuchBucket") {
    return Named(absl::StatusCode::kFailedPrecondition, "there is no such bucket");
  }
  switch (answer.status) {
    case 401:
    case 403:
      return Named(absl::StatusCode::kPermissionDenied,
                   StrCat("the storage refuses with ", answer.status,
                          "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's "
                          "policy (",
                          rights, ")"));
    case 404:
      return Named(absl::StatusCode::kNotFound, "there is no such bucket or object");
    case 416:
      return Named(absl::StatusCode::kOutOfRange, "it has no such bytes");
    case 412:
      return Named(absl::StatusCode::kDataLoss, "it was replaced while it was read");
    default:
      return Named(answer.status == 429 || answer.status >= 500
                       ? absl::StatusCode::kUnavailable
                       : absl::StatusCode::kInvalidArgument,
                   StrCat("the storage answered ", answer.status));
  }
}

}  // namespace bulk
