#include "bulk/s3_listing.h"

#include <absl/time/clock.h>

#include <memory>
#include <pugixml.hpp>
#include <utility>

#include "bulk/s3_client.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace bulk {
namespace {

using text::StrCat;

constexpr absl::Duration kTimeout = absl::Seconds(60);
constexpr std::int64_t kMaxAnswerBytes = 64 << 20;
constexpr std::string_view kScheme = "s3://";

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
    auto client = S3Client::Make(s3, std::move(network), prefix);
    if (!client.ok()) return client.status();
    // The bucket's own URL is that of an object without the object's key.
    auto url = http_client::S3Url(s3, StrCat(kScheme, BucketOf(prefix), "/x"));
    if (!url.ok()) return url.status();
    url->pop_back();
    return std::unique_ptr<Lister>(new Lister(*std::move(client), *std::move(url), prefix));
  }

  // One page; `token` is that of the page before, and becomes that of the next one, or "". Calls
  // nobody if it fails.
  absl::Status Page(int max_keys, absl::FunctionRef<void(std::string_view)> on_object,
                    std::string* token) {
    const absl::StatusOr<http_client::HttpResponse> answer = Ask(max_keys, *token);
    if (!answer.ok()) return answer.status();
    pugi::xml_document document;
    const bool is_xml = document.load_buffer(answer->body.data(), answer->body.size());
    const pugi::xml_node list = document.child("ListBucketResult");
    if (!is_xml || !list) {
      return client_->Named(absl::StatusCode::kInvalidArgument,
                            "the answer isn't that of an S3 store");
    }
    const bool has_more = std::string_view(list.child_value("IsTruncated")) == "true";
    std::string next = has_more ? list.child_value("NextContinuationToken") : "";
    if (has_more && (next.empty() || next == *token)) {
      return client_->Named(absl::StatusCode::kInvalidArgument,
                            "the storage has more objects than it lists, and doesn't say how to go "
                            "on; needed: one that answers ListObjectsV2");
    }
    for (const pugi::xml_node object : list.children("Contents")) {
      // A space is encoded as in forms.
      const std::string key =
          text::PercentDecode(object.child_value("Key"), /*plus_is_space=*/true);
      if (!key.empty() && !key.ends_with('/')) {
        on_object(StrCat(kScheme, BucketOf(prefix_), "/", key));
      }
    }
    *token = std::move(next);
    return absl::OkStatus();
  }

 private:
  Lister(std::unique_ptr<S3Client> client, std::string url, std::string prefix)
      : client_(std::move(client)), url_(std::move(url)), prefix_(std::move(prefix)) {}

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
    request.deadline = absl::Now() + kTimeout;
    request.max_bytes = kMaxAnswerBytes;
    return client_->Ask(std::move(request), 200, "s3:ListBucket");
  }

  const std::unique_ptr<S3Client> client_;
  const std::string url_;  // the bucket's, with a slash at the end
  const std::string prefix_;
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
