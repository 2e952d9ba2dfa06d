// A request to another machine and its answer, as plain values.
#ifndef DUET_HTTP_CLIENT_HTTP_MESSAGE_H_
#define DUET_HTTP_CLIENT_HTTP_MESSAGE_H_

#include <absl/time/time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace http_client {

struct S3Access;

struct HttpRequest {
  std::string url;                     // absolute, escaped
  std::vector<std::string> headers;    // "Name: value"
  std::string json_body;               // POSTed as JSON unless ""
  std::string put_file;                // the path of a file that is PUT unless ""
  std::string put_sha256;              // of that file, 64 hex digits, for the signature
  bool trusted = false;                // named by the operator: any address will do
  const S3Access* sign_for = nullptr;  // SigV4 with these keys; must live until the exchange ends
  absl::Time deadline = absl::InfiniteFuture();
  absl::Duration connect_timeout = absl::Seconds(5);
  std::int64_t max_bytes = 0;
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::string redirect_url;  // absolute; "" unless there is a Location
  std::string etag;
  std::string last_modified;
  std::string content_type;
  std::string content_range;  // which bytes of how many, "bytes 0-0/1234"
  std::string bucket_region;  // x-amz-bucket-region
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_HTTP_MESSAGE_H_
