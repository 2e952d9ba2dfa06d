#include "label_studio_api/label_studio_tokens.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "tests/testing/status_matchers.h"

namespace label_studio_api {
namespace {

TEST(TokenTest, KindsAreToldApart) {
  EXPECT_EQ(ClassifyToken(""), TokenKind::kNone);
  EXPECT_EQ(ClassifyToken("0123456789abcdef0123456789abcdef01234567"), TokenKind::kLegacy);
  EXPECT_EQ(ClassifyToken("not.a.jwt"), TokenKind::kLegacy);
  // {"token_type":"refresh"} and {"token_type":"access"}
  EXPECT_EQ(ClassifyToken("eyJh.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2ln"), TokenKind::kPersonal);
  EXPECT_EQ(ClassifyToken("eyJh.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2ln"), TokenKind::kAccess);
}

}  // namespace
}  // namespace label_studio_api
