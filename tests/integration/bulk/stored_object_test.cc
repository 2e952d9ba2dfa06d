// Objects of a store that speaks S3, in parts; and what it refuses.
#include "bulk/stored_object.h"

#include <absl/strings/numbers.h>
#include <gmock/gmock.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "bulk/prepared_manifest.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/status_matchers.h"

namespace bulk {
namespace {

using duet_testing::StatusIs;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kAddress[] = "s3://bucket/key";

// A store with one object.
class StoredObjectTest : public ::testing::Test {
 protected:
  StoredObjectTest() {
    setenv("AWS_ENDPOINT_URL", server_.url().c_str(), 1);
    setenv("AWS_ACCESS_KEY_ID", "any", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "any", 1);
    setenv("AWS_REGION", "us-east-1", 1);
  }

  TinyResponse Answer(const TinyRequest& request) const {
    const auto match = request.headers.find("if-match");
    if (match != request.headers.end() && match->second != etag_) return {.status = 412};
    const std::string range = request.headers.at("range").substr(std::string("bytes=").size());
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    EXPECT_TRUE(absl::SimpleAtoi(range.substr(0, range.find('-')), &first));
    EXPECT_TRUE(absl::SimpleAtoi(range.substr(range.find('-') + 1), &last));
    if (first >= bytes_.size()) return {.status = 416};
    const std::string part = bytes_.substr(first, last - first + 1);
    return {.status = 206,
            .headers = {"ETag: " + etag_,
                        "Content-Range: bytes " + range + "/" + std::to_string(bytes_.size())},
            .body = part.substr(0, part.size() - lost_)};
  }
  // What the store answers to everything from now on.
  void Refuse(int status, const std::string& code, const std::string& header = "X: y") {
    refusal_ = {
        .status = status, .headers = {header}, .body = "<Error><Code>" + code + "</Code></Error>"};
  }

  std::string bytes_ = "0123456789";
  std::string etag_ = "\"a\"";
  std::size_t lost_ = 0;  // bytes of each answer
  TinyResponse refusal_;
  duet_testing::TinyHttpServer server_{
      [this](const auto& request) { return refusal_.body.empty() ? Answer(request) : refusal_; }};
};

TEST_F(StoredObjectTest, IsReadInParts) {
  ASSERT_OK_AND_ASSIGN(const auto object, StoredObject::Open(kAddress, nullptr));
  EXPECT_EQ(object->size(), 10U);
  EXPECT_EQ(*object->Read(3, 4), "3456");
  EXPECT_EQ(*object->Read(8, 100), "89");
  EXPECT_EQ(*object->Read(100, 1), "");
}

TEST_F(StoredObjectTest, PartsOfTwoObjectsAreNeverMixed) {
  ASSERT_OK_AND_ASSIGN(const auto object, StoredObject::Open(kAddress, nullptr));
  bytes_ = "abcdefghij";
  etag_ = "\"b\"";

  EXPECT_THAT(object->Read(3, 4),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(kAddress), HasSubstr("replaced while it was read"))));
}

TEST_F(StoredObjectTest, AnAnswerThatLacksBytesIsWorthAnotherTry) {
  ASSERT_OK_AND_ASSIGN(const auto object, StoredObject::Open(kAddress, nullptr));
  lost_ = 1;

  EXPECT_THAT(object->Read(3, 4),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the storage sent 3 bytes of 4")));
}

TEST_F(StoredObjectTest, OneWithoutAByteIsEmpty) {
  bytes_.clear();
  ASSERT_OK_AND_ASSIGN(const auto object, StoredObject::Open(kAddress, nullptr));
  EXPECT_EQ(object->size(), 0U);
  EXPECT_EQ(*object->Read(0, 1), "");
  EXPECT_THAT(PreparedManifest::Open("s3://bucket/all.manifest"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("needed: a whole manifest")));
}

TEST_F(StoredObjectTest, WhatIsRefusedIsSaid) {
  const auto expect = [](absl::StatusCode code, const char* sentence) {
    EXPECT_THAT(StoredObject::Open(kAddress, nullptr),
                StatusIs(code, AllOf(HasSubstr(kAddress), HasSubstr(sentence))));
  };
  Refuse(404, "NoSuchKey");
  expect(absl::StatusCode::kNotFound, "no such bucket or object");
  Refuse(404, "NoSuchBucket");
  expect(absl::StatusCode::kFailedPrecondition, "no such bucket");
  Refuse(403, "AccessDenied");
  expect(absl::StatusCode::kPermissionDenied, "policy (s3:GetObject, s3:ListBucket)");
  Refuse(403, "SignatureDoesNotMatch");
  expect(absl::StatusCode::kUnauthenticated, "refuses the keys: SignatureDoesNotMatch");
  Refuse(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1");
  expect(absl::StatusCode::kFailedPrecondition,
         "in the region eu-west-1, and was asked for in us-east-1; set AWS_REGION");
  Refuse(503, "SlowDown");
  expect(absl::StatusCode::kUnavailable, "the storage answered 503");
  Refuse(429, "TooManyRequests");
  expect(absl::StatusCode::kUnavailable, "the storage answered 429");
}

}  // namespace
}  // namespace bulk
