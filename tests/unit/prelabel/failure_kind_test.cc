#include <gtest/gtest.h>

#include "prelabel/predictor.h"

namespace prelabel {
namespace {

// Only failures that another try may mend are transient.
TEST(FailureKindTest, OfEveryCode) {
  using Code = absl::StatusCode;
  for (const Code code : {Code::kUnavailable, Code::kResourceExhausted, Code::kDeadlineExceeded,
                          Code::kCancelled, Code::kAborted}) {
    EXPECT_EQ(ClassifyFailure({code, ""}), FailureKind::kTransient) << static_cast<int>(code);
  }
  for (const Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kAlreadyExists,
                          Code::kPermissionDenied, Code::kUnauthenticated,
                          Code::kFailedPrecondition, Code::kOutOfRange, Code::kUnimplemented}) {
    EXPECT_EQ(ClassifyFailure({code, ""}), FailureKind::kPermanent) << static_cast<int>(code);
  }
  for (const Code code : {Code::kInternal, Code::kUnknown, Code::kDataLoss}) {
    EXPECT_EQ(ClassifyFailure({code, ""}), FailureKind::kInternal) << static_cast<int>(code);
  }
}

}  // namespace
}  // namespace prelabel
