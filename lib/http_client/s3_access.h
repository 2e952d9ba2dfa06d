// Keys for S3, from where AWS's own tools look for them, and where its objects are asked for.
#ifndef DUET_HTTP_CLIENT_S3_ACCESS_H_
#define DUET_HTTP_CLIENT_S3_ACCESS_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace http_client {

// S3 with keys of our own; without, s3:// goes through Label Studio.
struct S3Access {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  std::string region = "us-east-1";
  std::string endpoint;  // "" for AWS; else e.g. "http://minio:9000", asked in path style

  bool enabled() const { return !access_key_id.empty(); }
};
// From AWS_ACCESS_KEY_ID, ..., AWS_ENDPOINT_URL(_S3), else the profile AWS_PROFILE of ~/.aws.
// Disabled if none is set.
S3Access S3AccessFromEnvironment();

// Where the object "s3://bucket/a b.jpg" is: "https://bucket.s3.region.amazonaws.com/a%20b.jpg".
// Below an endpoint, and where the bucket can't be a part of a host's name, in path style:
// "http://minio:9000/bucket/a%20b.jpg". InvalidArgument if it is not of that form.
absl::StatusOr<std::string> S3Url(const S3Access& s3, std::string_view uri);

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_S3_ACCESS_H_
