#include "bulk/s3_object.h"

#include <absl/strings/numbers.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <utility>

#include "bulk/s3_client.h"
#include "hash/sha256.h"
#include "http_client/s3_access.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using http_client::HttpRequest;
using http_client::HttpResponse;
using text::StrCat;

constexpr absl::Duration kTimeout = absl::Minutes(2);
constexpr std::int64_t kMaxErrorBytes = std::int64_t{1} << 20;
constexpr std::uint64_t kMaxPutBytes = std::uint64_t{5} << 30;  // S3's own limit
constexpr double kLeastBytesPerSecond = 1e6;                    // of what is put

constexpr std::string_view kReadRights = "s3:GetObject, s3:ListBucket";

// Asks for one object.
struct ObjectClient {
  static absl::StatusOr<ObjectClient> Make(const std::string& address,
                                           std::shared_ptr<http_client::Network> network) {
    auto client =
        S3Client::Make(http_client::S3AccessFromEnvironment(), std::move(network), address);
    if (!client.ok()) return client.status();
    auto url = http_client::S3Url((*client)->s3(), address);
    if (!url.ok()) return url.status();
    return ObjectClient{*std::move(client), *std::move(url)};
  }

  absl::StatusOr<HttpResponse> AskForRange(std::uint64_t offset, std::uint64_t count,
                                           const std::string& etag) const {
    HttpRequest request;
    request.url = url;
    request.headers.push_back(StrCat("Range: bytes=", offset, "-", offset + count - 1));
    if (!etag.empty()) request.headers.push_back(StrCat("If-Match: ", etag));
    request.deadline = absl::Now() + kTimeout;
    request.max_bytes = std::max(static_cast<std::int64_t>(count), kMaxErrorBytes);
    return client->Ask(std::move(request), 206, kReadRights);
  }

  std::unique_ptr<S3Client> client;
  std::string url;
};

class S3Object final : public StoredObject {
 public:
  S3Object(std::string address, std::uint64_t size, std::string etag, ObjectClient object)
      : StoredObject(std::move(address), size),
        etag_(std::move(etag)),
        object_(std::move(object)) {}

  absl::StatusOr<std::string> Read(std::uint64_t offset, std::uint64_t count) override {
    count = std::min(count, size() - std::min(offset, size()));
    if (count == 0) return "";
    absl::StatusOr<HttpResponse> answer = object_.AskForRange(offset, count, etag_);
    if (!answer.ok()) return answer.status();
    if (answer->body.size() != count) {
      return object_.client->Named(
          absl::StatusCode::kUnavailable,
          StrCat("the storage sent ", answer->body.size(), " bytes of ", count));
    }
    return std::move(answer->body);
  }

 private:
  const std::string etag_;
  const ObjectClient object_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StoredObject>> OpenS3Object(
    const std::string& address, std::shared_ptr<http_client::Network> network) {
  auto object = ObjectClient::Make(address, std::move(network));
  if (!object.ok()) return object.status();
  // The first byte's answer says how many there are.
  const auto answer = object->AskForRange(0, 1, /*etag=*/"");
  if (absl::IsOutOfRange(answer.status())) {  // there is none
    return std::unique_ptr<StoredObject>(new S3Object(address, 0, "", *std::move(object)));
  }
  if (!answer.ok()) return answer.status();
  const auto slash = answer->content_range.find('/');
  std::uint64_t size = 0;
  if (slash == std::string::npos ||
      !absl::SimpleAtoi(answer->content_range.substr(slash + 1), &size)) {
    return object->client->Named(absl::StatusCode::kInvalidArgument,
                                 "the answer isn't that of an S3 store");
  }
  return std::unique_ptr<StoredObject>(
      new S3Object(address, size, answer->etag, *std::move(object)));
}

absl::Status PutS3Object(const std::string& file, const std::string& address,
                         std::shared_ptr<http_client::Network> network) {
  const auto object = ObjectClient::Make(address, network);
  if (!object.ok()) return object.status();
  const auto source = StoredObject::Open(file, network);
  if (!source.ok()) return source.status();
  if ((*source)->size() > kMaxPutBytes) {
    return object->client->Named(absl::StatusCode::kInvalidArgument,
                                 StrCat(file, " has ", (*source)->size(),
                                        " bytes, and S3 takes 5 GiB at once; needed: more shards"));
  }
  hash::Sha256Hasher digest;
  ObjectStream stream(**source, 0, (*source)->size());
  constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;
  while (stream.offset() < (*source)->size()) {
    const auto block = stream.Take(std::min(kBlockBytes, (*source)->size() - stream.offset()));
    if (!block.ok()) return block.status();
    digest.Update(*block);
  }
  HttpRequest request;
  request.url = object->url;
  request.put_file = file;
  request.put_sha256 = hash::Hex(digest.Finish());
  request.deadline = absl::Now() + kTimeout +
                     absl::Seconds(static_cast<double>((*source)->size()) / kLeastBytesPerSecond);
  request.max_bytes = kMaxErrorBytes;
  return object->client->Ask(std::move(request), 200, "s3:PutObject").status();
}

}  // namespace bulk
