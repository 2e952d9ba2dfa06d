// Keys for S3, from where AWS's own tools look for them.
#ifndef DUET_HTTP_CLIENT_S3_ACCESS_H_
#define DUET_HTTP_CLIENT_S3_ACCESS_H_

#include <string>

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

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_S3_ACCESS_H_
