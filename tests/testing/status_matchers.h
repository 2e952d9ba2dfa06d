// EXPECT_THAT(ReadCheckpoint(path), IsOk());
// EXPECT_THAT(ReadCheckpoint(path),
//             StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("truncated")));
// ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, ReadCheckpoint(path));
#ifndef DUET_TESTS_TESTING_STATUS_MATCHERS_H_
#define DUET_TESTS_TESTING_STATUS_MATCHERS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <gmock/gmock.h>

#include <string>
#include <utility>

namespace testing_duet_internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

}  // namespace testing_duet_internal

namespace duet_testing {

// For absl::Status and absl::StatusOr<T>.
MATCHER(IsOk, negation ? "is an error" : "is OK") {
  const absl::Status& status = testing_duet_internal::StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.ok();
}

// `message`: a matcher of the message, or the whole message.
MATCHER_P2(StatusIs, code, message,
           "has code " + absl::StatusCodeToString(code) + " and a message that " +
               testing::DescribeMatcher<std::string>(message, negation)) {
  const absl::Status& status = testing_duet_internal::StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.code() == code && testing::Matches(testing::MatcherCast<std::string>(message))(
                                      std::string(status.message()));
}

inline auto StatusIs(absl::StatusCode code) { return StatusIs(code, testing::A<std::string>()); }

}  // namespace duet_testing

#define DUET_TESTING_CONCAT_(a, b) a##b
#define DUET_TESTING_CONCAT(a, b) DUET_TESTING_CONCAT_(a, b)
#define DUET_TESTING_ASSIGN(result, declaration, expression)          \
  auto result = (expression);                                         \
  ASSERT_TRUE(result.ok()) << #expression << ": " << result.status(); \
  declaration = *std::move(result)
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  DUET_TESTING_ASSIGN(DUET_TESTING_CONCAT(duet_testing_result_, __LINE__), declaration, expression)

#endif  // DUET_TESTS_TESTING_STATUS_MATCHERS_H_
