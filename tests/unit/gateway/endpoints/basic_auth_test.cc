#include "gateway/endpoints/basic_auth.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace gateway::endpoints {
namespace {

std::string Basic(const std::string& credentials) {
  return "Basic " + absl::Base64Escape(credentials);
}

TEST(BasicAuthTest, TakesTheUserWithThePasswordAndNothingElse) {
  const BasicAuth auth("ann", std::make_shared<serving::Secret>("se:cret"));

  EXPECT_TRUE(auth.Accepts(Basic("ann:se:cret")));
  EXPECT_TRUE(auth.Accepts("basic  " + absl::Base64Escape("ann:se:cret") + " "));
  for (const std::string& wrong :
       {std::string(), std::string("Basic "), std::string("Basic ?"), Basic("ann:se"),
        Basic("ann:"), Basic("bob:se:cret"), Basic("ann:se:cret2"),
        "Bearer " + absl::Base64Escape("ann:se:cret"), absl::Base64Escape("ann:se:cret")}) {
    EXPECT_FALSE(auth.Accepts(wrong)) << wrong;
  }
}

// What is compared are digests, and all of them: some of these begin like the right one.
TEST(BasicAuthTest, NoneOfAThousandPasswordsIsTakenForIt) {
  const BasicAuth auth("ann", std::make_shared<serving::Secret>("se:cret"));

  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(auth.Accepts(Basic("ann:" + std::to_string(i)))) << i;
  }
}

TEST(BasicAuthTest, APasswordThatChangesIsFollowed) {
  const duet_testing::TempDir dir;
  const std::string path = dir.Write("password", "first");
  absl::Time now = absl::UnixEpoch();
  ASSERT_OK_AND_ASSIGN(const auto password,
                       serving::Secret::FromFile(path, [&now] { return now; }));
  const BasicAuth auth("ann", password);
  ASSERT_TRUE(auth.Accepts(Basic("ann:first")));

  dir.Write("password", "second");
  now += absl::Seconds(2);

  EXPECT_TRUE(auth.Accepts(Basic("ann:second")));
  EXPECT_FALSE(auth.Accepts(Basic("ann:first")));
}

}  // namespace
}  // namespace gateway::endpoints
