// The judge is botocore's order: the environment before the shared credentials, these before the
// config file; of the endpoints S3's own before that of all services.
#include "http_client/s3_access.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "tests/testing/temp_dir.h"

namespace http_client {
namespace {

// Without the variables of whoever runs the test.
class S3AccessTest : public testing::Test {
 protected:
  S3AccessTest() {
    for (const char* name :
         {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
          "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
          "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}) {
      unsetenv(name);
    }
    setenv("HOME", home_.path().c_str(), 1);
  }
  void SetKeys() {
    setenv("AWS_ACCESS_KEY_ID", "AKENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env-secret", 1);
  }

  duet_testing::TempDir home_;
};

TEST_F(S3AccessTest, WithoutKeysThereIsNone) {
  setenv("AWS_REGION", "eu-west-1", 1);
  EXPECT_FALSE(S3AccessFromEnvironment().enabled());
  setenv("AWS_ACCESS_KEY_ID", "AKENV", 1);
  EXPECT_FALSE(S3AccessFromEnvironment().enabled()) << "half a pair";
}

TEST_F(S3AccessTest, VariablesAreTaken) {
  SetKeys();
  EXPECT_EQ(S3AccessFromEnvironment().region, "us-east-1");
  EXPECT_EQ(S3AccessFromEnvironment().endpoint, "");

  setenv("AWS_SESSION_TOKEN", "token", 1);
  setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
  setenv("AWS_ENDPOINT_URL", "http://all:9000", 1);
  const S3Access access = S3AccessFromEnvironment();
  EXPECT_EQ(access.access_key_id, "AKENV");
  EXPECT_EQ(access.secret_access_key, "env-secret");
  EXPECT_EQ(access.session_token, "token");
  EXPECT_EQ(access.region, "eu-west-1");
  EXPECT_EQ(access.endpoint, "http://all:9000");
}

TEST_F(S3AccessTest, TheMoreSpecialVariableCounts) {
  SetKeys();
  setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
  setenv("AWS_REGION", "eu-central-1", 1);
  setenv("AWS_ENDPOINT_URL", "http://all:9000", 1);
  setenv("AWS_ENDPOINT_URL_S3", "http://s3:9000", 1);
  EXPECT_EQ(S3AccessFromEnvironment().region, "eu-central-1");
  EXPECT_EQ(S3AccessFromEnvironment().endpoint, "http://s3:9000");
}

TEST_F(S3AccessTest, AProfileIsReadFromBothFilesAndTheVariablesWin) {
  home_.Write(".aws/config",
              "[default]\nregion = eu-west-1\n[profile work]\nregion = eu-north-1\n"
              "aws_access_key_id = AKCONFIG\nendpoint_url = http://minio:9000\n");
  home_.Write(".aws/credentials",
              "# keys\n[default]\naws_access_key_id=AKDEFAULT\naws_secret_access_key=one\n"
              "[work]\naws_access_key_id = AKWORK\naws_secret_access_key = two=2\n"
              "aws_session_token = token\n");
  const S3Access plain = S3AccessFromEnvironment();
  EXPECT_EQ(plain.access_key_id, "AKDEFAULT");
  EXPECT_EQ(plain.secret_access_key, "one");
  EXPECT_EQ(plain.region, "eu-west-1");

  setenv("AWS_PROFILE", "work", 1);
  const S3Access work = S3AccessFromEnvironment();
  EXPECT_EQ(work.access_key_id, "AKWORK") << "the credentials file before the config file";
  EXPECT_EQ(work.secret_access_key, "two=2");
  EXPECT_EQ(work.session_token, "token");
  EXPECT_EQ(work.region, "eu-north-1");
  EXPECT_EQ(work.endpoint, "http://minio:9000");

  SetKeys();
  const S3Access both = S3AccessFromEnvironment();
  EXPECT_EQ(both.access_key_id, "AKENV");
  EXPECT_EQ(both.session_token, "") << "the profile's belongs to the profile's keys";
  EXPECT_EQ(both.region, "eu-north-1");
}

TEST(S3UrlTest, ABucketIsTheHostUnlessItCannotBeOne) {
  const S3Access s3{.access_key_id = "AK", .region = "eu-west-1"};
  const std::pair<const char*, const char*> cases[] = {
      {"s3://bucket/a b/c+d.jpg", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c%2Bd.jpg"},
      {"S3://bu-cket1/a//b.jpg", "https://bu-cket1.s3.eu-west-1.amazonaws.com/a//b.jpg"},
      // The certificate's wildcard covers no dot, and names of hosts have no case and no
      // underscore.
      {"s3://my.bucket/a.jpg", "https://s3.eu-west-1.amazonaws.com/my.bucket/a.jpg"},
      {"s3://my_bucket/a.jpg", "https://s3.eu-west-1.amazonaws.com/my_bucket/a.jpg"},
      {"s3://Bucket/a.jpg", "https://s3.eu-west-1.amazonaws.com/Bucket/a.jpg"},
  };
  for (const auto& [uri, url] : cases) EXPECT_EQ(S3Url(s3, uri).value(), url) << uri;
}

TEST(S3UrlTest, BelowAnEndpointThePathHasTheBucket) {
  const S3Access minio{.access_key_id = "AK", .endpoint = "http://minio:9000/"};
  EXPECT_EQ(S3Url(minio, "s3://bucket/ü?.jpg").value(), "http://minio:9000/bucket/%C3%BC%3F.jpg");
}

TEST(S3UrlTest, WhatIsNoObjectIsRefused) {
  for (const char* bad : {"s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bu:cket@x/a",
                          "s3://evil.example%2f/a"}) {
    EXPECT_EQ(S3Url({}, bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace http_client
