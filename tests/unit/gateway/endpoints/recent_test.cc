#include "gateway/endpoints/recent.h"

#include <gtest/gtest.h>

#include <string>

namespace gateway::endpoints {
namespace {

TEST(RecentTest, TheNewestComesFirstAndTheOldestGo) {
  Recent recent;

  for (int i = 0; i < 150; ++i) {
    recent.Answered({.at = absl::FromUnixSeconds(i), .route = "/predict", .status = i});
    recent.Failed({.at = absl::FromUnixSeconds(i), .task_id = i});
  }

  ASSERT_EQ(recent.requests().size(), Recent::kRequests);
  EXPECT_EQ(recent.requests().front().status, 149);
  EXPECT_EQ(recent.requests().back().status, 50);
  ASSERT_EQ(recent.failures().size(), Recent::kFailures);
  EXPECT_EQ(recent.failures().front().task_id, 149);
}

TEST(RecentTest, ALongSentenceIsCutBetweenCharacters) {
  Recent recent;
  std::string sentence(Recent::kMaxSentence - 1, 'x');

  recent.Failed({.sentence = sentence + "é and so on"});

  EXPECT_EQ(recent.failures().front().sentence, sentence + "…");
}

TEST(RecentTest, AProjectThatConnectsAgainIsOneProject) {
  Recent recent;
  constexpr char kConfig[] =
      "<View><Image name='a' value='$a'/><Rectangle name='b' toName='a'/></View>";
  const auto project = prelabel::Project::Create(kConfig, {}).value();

  recent.Connected({.profile = "", .id = "7", .project = project});
  recent.Connected({.profile = "", .id = "8", .project = project});
  recent.Connected({.profile = "", .id = "7", .project = project});

  ASSERT_EQ(recent.projects().size(), 2u);
  EXPECT_EQ(recent.projects().front().id, "7");
}

}  // namespace
}  // namespace gateway::endpoints
