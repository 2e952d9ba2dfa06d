#include "bulk/s3_listing.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <array>
#include <memory>
#include <pugixml.hpp>
#include <utility>

#include "bulk/item.h"
#include "http_client/address_policy.h"
#include "http_client/transfer.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace bulk {
namespace {

using text::StrCat;

constexpr absl::Duration kTimeout = absl::Seconds(60);
constexpr std::int64_t kMaxAnswerBytes = 64 << 20;
constexpr std::string_view kScheme = "s3://";

// What a storage says of keys that are of no use for anything any more.
constexpr std::array<std::string_view, 6> kKeyErrors = {
    "ExpiredToken",          "InvalidAccessKeyId",   "InvalidToken",
    "SignatureDoesNotMatch", "RequestTimeTooSkewed", "TokenRefreshRequired"};

// The code in an answer that is an error; "" if there is none.
std::string ErrorCode(const std::string& body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return "";
  return document.child("Error").child_value("Code");
}

// "bucket" of "s3://bucket/key".
std::string_view BucketOf(std::string_view address) {
  address.remove_prefix(kScheme.size());
  return address.substr(0, address.find('/'));
}

class Lister {
 public:
  static absl::StatusOr<std::unique_ptr<Lister>> Make(const http_client::S3Access& s3,
                                                      std::shared_ptr<http_client::Network> network,
                                                      const std::string& prefix) {
    if (!s3.enabled()) {
      return absl::FailedPreconditionError(
          StrCat(Shown(prefix), ": needed: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the ",
                 "profile of AWS's own tools"));
    }
    // The bucket's own URL is that of an object without the object's key.
    auto url = http_client::S3Url(s3, StrCat(kScheme, BucketOf(prefix), "/x"));
    if (!url.ok()) return url.status();
    url->pop_back();
    auto policy = http_client::AddressPolicy::Make({}, /*allow_all_private=*/true);
    if (!policy.ok()) return policy.status();
    return std::unique_ptr<Lister>(
        new Lister(s3, *std::move(url), prefix, *std::move(policy), std::move(network)));
  }

  // One page; `token` is that of the page before, and becomes that of the next one, or "".
  absl::Status Page(int max_keys, absl::FunctionRef<void(std::string_view)> on_object,
                    std::string* token) {
    const absl::StatusOr<http_client::HttpResponse> answer = Ask(max_keys, *token);
    if (!answer.ok()) return Named(answer.status().code(), answer.status().message());
    if (answer->status != 200) return ErrorOf(*answer);
    pugi::xml_document document;
    const bool is_xml = document.load_buffer(answer->body.data(), answer->body.size());
    const pugi::xml_node list = document.child("ListBucketResult");
    if (!is_xml || !list) {
      return Named(absl::StatusCode::kInvalidArgument, "the answer isn't that of an S3 store");
    }
    for (const pugi::xml_node object : list.children("Contents")) {
      // A space is encoded as in forms.
      const std::string key =
          text::PercentDecode(object.child_value("Key"), /*plus_is_space=*/true);
      if (!key.empty() && !key.ends_with('/')) {
        on_object(StrCat(kScheme, BucketOf(prefix_), "/", key));
      }
    }
    token->clear();
    if (std::string_view(list.child_value("IsTruncated")) == "true") {
      *token = list.child_value("NextContinuationToken");
    }
    return absl::OkStatus();
  }

 private:
  Lister(const http_client::S3Access& s3, std::string url, std::string prefix,
         http_client::AddressPolicy policy, std::shared_ptr<http_client::Network> network)
      : s3_(s3),
        url_(std::move(url)),
        prefix_(std::move(prefix)),
        policy_(std::move(policy)),
        loop_(policy_, std::move(network)) {}

  absl::StatusOr<http_client::HttpResponse> Ask(int max_keys, const std::string& token) {
    const std::string_view rest = std::string_view(prefix_).substr(kScheme.size());
    const std::size_t slash = rest.find('/');
    const std::string_view keys = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
    http_client::HttpRequest request;
    // The signature wants the fields in the order of their names.
    request.url = StrCat(
        url_, "?", token.empty() ? "" : "continuation-token=", text::PercentEncode(token, ""),
        token.empty() ? "" : "&", "encoding-type=url&list-type=2&max-keys=", max_keys,
        "&prefix=", text::PercentEncode(keys, ""));
    request.sign_for = &s3_;
    request.trusted = true;
    request.deadline = absl::Now() + kTimeout;
    request.max_bytes = kMaxAnswerBytes;
    return http_client::PerformAndWait(loop_, std::move(request));
  }

  absl::Status ErrorOf(const http_client::HttpResponse& answer) const {
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
    switch (answer.status) {
      case 401:
      case 403:
        return Named(absl::StatusCode::kPermissionDenied,
                     StrCat("the storage refuses to list it with ", answer.status,
                            "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's "
                            "policy (s3:ListBucket)"));
      case 404:
        return Named(absl::StatusCode::kNotFound, "there is no such bucket");
      default:
        return Named(answer.status == 429 || answer.status >= 500
                         ? absl::StatusCode::kUnavailable
                         : absl::StatusCode::kInvalidArgument,
                     StrCat("the storage answered ", answer.status));
    }
  }

  absl::Status Named(absl::StatusCode code, const auto& sentence) const {
    return absl::Status(code, StrCat(Shown(prefix_), ": ", sentence));
  }

  const http_client::S3Access s3_;
  const std::string url_;  // the bucket's, with a slash at the end
  const std::string prefix_;
  const http_client::AddressPolicy policy_;
  http_client::TransferLoop loop_;  // last: its thread uses the others
};

}  // namespace

absl::Status ListObjects(const http_client::S3Access& s3,
                         std::shared_ptr<http_client::Network> network, const std::string& prefix,
                         const Patience& patience,
                         absl::FunctionRef<void(std::string_view)> on_object) {
  constexpr int kPageKeys = 1000;
  const auto lister = Lister::Make(s3, std::move(network), prefix);
  if (!lister.ok()) return lister.status();
  std::string token;
  do {
    // A page that fails has called nobody.
    absl::Status status =
        Patiently(patience, [&] { return (*lister)->Page(kPageKeys, on_object, &token); });
    if (!status.ok()) return status;
  } while (!token.empty());
  return absl::OkStatus();
}

absl::Status CheckBucket(const http_client::S3Access& s3,
                         std::shared_ptr<http_client::Network> network,
                         const std::string& address) {
  const auto lister = Lister::Make(s3, std::move(network), StrCat(kScheme, BucketOf(address), "/"));
  if (!lister.ok()) return lister.status();
  std::string token;
  return (*lister)->Page(
      1, [](std::string_view) {}, &token);
}

}  // namespace bulk
